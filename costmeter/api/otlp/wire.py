"""OTLP/HTTP: export requests in protobuf or JSON read into usage events, and their answers written.

opentelemetry.io/docs/specs/otlp: the answer has the encoding of the request; `partial_success` counts what was
rejected, or with nothing rejected carries a warning.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from costmeter.api.otlp.spans import (
    DEEPSEEK_HOSTS,
    UNKNOWN_HOST,
    Attributes,
    host_of,
    id_of,
    read_attributes,
    read_span,
    why_ignored,
)
from costmeter.core.errors import InputError, shown
from costmeter.services.record_calls import Received, Tally

PROTOBUF, JSON = MEDIA_TYPES = ("application/x-protobuf", "application/json")
_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")  # of spans, and of their links
_MOST_TOLD = 5  # of what was refused, in one answer


class Traces(NamedTuple):
    """The calls of an export request, how many other spans it had by reason, and hosts that may be DeepSeek's."""

    received: list[Received]
    ignored: Counter[str]
    unknown_hosts: set[str]


def read_traces(body: bytes, media_type: str, hosts: frozenset[str] = DEEPSEEK_HOSTS) -> Traces:
    """The calls of DeepSeek in an ExportTraceServiceRequest; `hosts` are those whose calls are DeepSeek's.

    Raises InputError where the body is none. What a span lacks is told when it is recorded.
    """
    traces = Traces([], Counter(), set())
    for one in _request(body, media_type).resource_spans:
        _read_resource(one, hosts, traces)
    return traces


def write_answer(tally: Tally, traces: Traces, media_type: str) -> bytes:
    """An ExportTraceServiceResponse: spans that were refused or in conflict are rejected, ignored ones are not."""
    answer = ExportTraceServiceResponse()
    if message := "; ".join(_said(tally, traces)):
        answer.partial_success.rejected_spans = tally.quarantined + tally.conflicts
        answer.partial_success.error_message = message
    if media_type == JSON:
        return json.dumps(MessageToDict(answer)).encode()
    written: bytes = answer.SerializeToString()
    return written


def _said(tally: Tally, traces: Traces) -> Iterator[str]:
    for refusal in tally.refusals[:_MOST_TOLD]:
        yield f"{refusal.place}: {refusal.kind}: {refusal.error}"
    if len(tally.refusals) > _MOST_TOLD:
        yield f"and {len(tally.refusals) - _MOST_TOLD} more; see: costmeter quarantine list"
    if traces.unknown_hosts:
        hosts = ", ".join(shown(host) for host in sorted(traces.unknown_hosts)[:_MOST_TOLD])
        count = traces.ignored[UNKNOWN_HOST]
        yield f"server.address {hosts}: {count} spans were ignored; name it as a host of DeepSeek's if it leads there"


def _read_resource(one: ResourceSpans, hosts: frozenset[str], traces: Traces) -> None:
    resource: Attributes = read_attributes(one.resource.attributes)
    for scope in one.scope_spans:
        for span in scope.spans:
            own = read_attributes(span.attributes)
            reason = why_ignored(span, own, hosts)
            if reason is not None:
                traces.ignored[reason] += 1
                if reason == UNKNOWN_HOST:
                    traces.unknown_hosts.add(host_of(own))
                continue
            place = f"span {id_of(span) or len(traces.received)}"
            traces.received.append(Received(read_span(span, own, resource, scope.scope.name), place))


def _request(body: bytes, media_type: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    if media_type == JSON:
        _merge_json(request, body)
    elif media_type == PROTOBUF:
        try:
            request.MergeFromString(body)
        except DecodeError:
            raise InputError("body", None, "is no ExportTraceServiceRequest in protobuf") from None
    else:
        raise InputError("Content-Type", media_type, f"use {' or '.join(MEDIA_TYPES)}")
    return request


def _merge_json(request: ExportTraceServiceRequest, body: bytes) -> None:
    try:
        said = _with_bytes(json.loads(body))
        if not isinstance(said, dict):  # the reader takes a text or a list for an empty request
            raise InputError("body", None, "is no JSON object")
        ParseDict(said, request, ignore_unknown_fields=True)
    except InputError:
        raise
    except RecursionError:
        raise InputError("body", None, "is nested too deep") from None
    except (ValueError, TypeError, AttributeError, ParseError):  # the reader's errors quote what they read
        raise InputError("body", None, "is no ExportTraceServiceRequest in JSON") from None


def _with_bytes(value: Any) -> Any:
    """The same with ids in base64: OTLP writes them in hex, and the reader of protobuf's JSON takes that for base64."""
    if isinstance(value, list):
        return [_with_bytes(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: _id(key, one) if key in _IDS else _with_bytes(one) for key, one in value.items()}


def _id(field: str, value: object) -> str:
    try:
        return b64encode(bytes.fromhex(value if isinstance(value, str) else "?")).decode()
    except ValueError:
        raise InputError(field, value, "write an id as hexadecimal digits") from None
