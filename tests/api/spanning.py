"""Spans as OTLP's JSON has them: ids in hexadecimal, 64-bit numbers as texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"  # those of OTLP's own example
START, END = (
    1_741_003_200_123_456_789,
    1_741_003_201_000_000_999,
)  # 2025-03-03T12:00:00.123456789Z and 12:00:01.000000999Z
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "deepseek-chat",
    "gen_ai.response.model": "deepseek-chat",
    "gen_ai.response.id": "c56bbff7",
    "gen_ai.usage.input_tokens": 563,
    "gen_ai.usage.cache_read.input_tokens": 512,
    "gen_ai.usage.output_tokens": 116,
    "server.address": "api.deepseek.com",
}


def a_span(
    attributes: Mapping[str, Any] | None = None, *, trace_id: Any = TRACE, span_id: str = SPAN
) -> dict[str, Any]:
    """The span of a call; an attribute that is None is left out."""
    return {
        "traceId": trace_id,
        "spanId": span_id,
        "parentSpanId": "eee19b7ec3c1b173",
        "name": "chat deepseek-chat",
        "kind": 3,
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(END),
        "attributes": attributes_of({**CALL, **(attributes or {})}),
        "links": [{"traceId": TRACE, "spanId": SPAN}],
        "status": {},
    }


def a_request(*spans: dict[str, Any], **resource: Any) -> dict[str, Any]:
    """An export request of one resource and one instrumentation."""
    scoped = {"scope": {"name": "tests"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": attributes_of(resource)}, "scopeSpans": [scoped]}]}


def attributes_of(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
