"""OpenTelemetry traces over HTTP: the calls of DeepSeek among GenAI spans, recorded before the answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from costmeter.api import models
from costmeter.api.access import Sending
from costmeter.api.events import allowed
from costmeter.api.measures import Measures
from costmeter.api.otlp.wire import JSON, MEDIA_TYPES, PROTOBUF, Traces, read_traces, write_answer
from costmeter.core.errors import InputError
from costmeter.services.record_calls import Tally

router = APIRouter(prefix="/v1/traces", tags=["events"])
_CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.response.model": "deepseek-reasoner",
    "gen_ai.response.id": "c56bbff7-0001",
    "server.address": "api.deepseek.com",
}
_TOKENS = {
    "gen_ai.usage.input_tokens": "563",
    "gen_ai.usage.cache_read.input_tokens": "512",
    "gen_ai.usage.output_tokens": "116",
}
_SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "chat deepseek-reasoner",
    "startTimeUnixNano": "1740846581120000000",
    "endTimeUnixNano": "1740846600000000000",
    "attributes": [
        *({"key": name, "value": {"stringValue": text}} for name, text in _CALL.items()),
        *({"key": name, "value": {"intValue": count}} for name, count in _TOKENS.items()),
    ],
}
_EXAMPLE = {"resourceSpans": [{"scopeSpans": [{"spans": [_SPAN]}]}]}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
            JSON: {"schema": {"type": "object"}, "examples": {"one": {"value": _EXAMPLE}}},
        },
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An ExportTraceServiceResponse in the encoding of the request; partial_success where spans were"
        " refused (they are in quarantine), or with a warning",
        "content": {PROTOBUF: {"schema": {"type": "string", "format": "binary"}}, JSON: {"schema": {"type": "object"}}},
    }
}


@router.post(
    "",
    operation_id="export_traces",
    summary="Record the calls among OpenTelemetry spans",
    openapi_extra=_BODY,
    response_class=Response,
    responses={**_ANSWER, **models.problems(400, 401, 403, 408, 413, 415, 422, 503)},
)
def export(request: Request, sent: Sending) -> Response:
    """Record the GenAI spans that are calls of DeepSeek; other spans are ignored. Sent again, a span counts once."""
    service, grant, body = sent
    media_type = _media_type(request)
    traces = _translated(body, media_type, service.deepseek_hosts)
    received = [allowed(grant, one.body, one.place) for one in traces.received]
    tally = service.recorder.record(received) if received else Tally()
    service.poster.tell(tally.accounts)
    measures: Measures = request.app.state.measures
    measures.recorded(tally)
    measures.ignored(traces.ignored)
    return Response(write_answer(tally, traces, media_type), media_type=media_type)


def _media_type(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        raise HTTPException(415, f"Content-Type {kind[:60]!r}: use {' or '.join(MEDIA_TYPES)}")
    return kind


def _translated(body: bytes, media_type: str, hosts: frozenset[str]) -> Traces:
    try:
        return read_traces(body, media_type, hosts)
    except InputError as error:
        raise HTTPException(400, str(error)) from None
