"""GenAI spans: which of them is a call of DeepSeek, and the usage event that it tells of.

Attribute names are those of OpenTelemetry's GenAI conventions (opentelemetry.io/docs/specs/semconv/gen-ai, all of them
still in development), and the older ones that emitters still write. docs/collectors.md lists what is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from costmeter.core.events import FAILED, OK, PROVIDERS, UNMETERED
from costmeter.core.periods import format_instant, from_micros
from costmeter.core.texts import TEXT_LENGTH

Attributes = Mapping[str, Any]

# Where DeepSeek answers ("base_url: https://api.deepseek.com", api-docs.deepseek.com).
DEEPSEEK_HOSTS = frozenset({"api.deepseek.com"})
# One call each. fetch_response has no tokens of its own, agents and workflows only the sums of their calls.
INFERENCE = ("chat", "text_completion", "generate_content")

# Why a span is no usage event.
NO_GEN_AI = "no_gen_ai"
NOT_INFERENCE = "not_inference"
OTHER_PROVIDER = "other_provider"
UNKNOWN_HOST = "unknown_host"  # it says deepseek, of a host that nobody named: a gateway, or somebody who resells

_OPERATION, _ADDRESS = "gen_ai.operation.name", "server.address"
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system")
_RESPONSE_ID, _RESPONSE_MODEL, _REQUEST_MODEL = "gen_ai.response.id", "gen_ai.response.model", "gen_ai.request.model"
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_CACHE_READ = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
_CACHE_WRITE = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
)
# DeepSeek's own fields, as pydantic-ai passes them on; they tell no hits from hits that were not told.
_CACHE = ("prompt_cache_hit_tokens", "prompt_cache_miss_tokens")
_DETAIL = "gen_ai.usage.details."
_STREAM, _ERROR, _HTTP_STATUS = "gen_ai.request.stream", "error.type", "http.response.status_code"
# Whose call it is: our own name first, then what the conventions have for it.
_ATTRIBUTION = {
    "account": ("costmeter.account",),
    "project": ("costmeter.project", "service.name"),
    "user": ("costmeter.user", "enduser.id", "user.id"),
    "api_key": ("costmeter.api_key",),
}
_TAG = "costmeter.tag."
_NO_NAME = "unknown_service"  # what an SDK calls a service that nobody named (resource conventions, service.name)
# Nothing else is looked at: messages, instructions and tool calls would be prompts and answers.
_READ = frozenset((
    _OPERATION, _ADDRESS, *_PROVIDER, _RESPONSE_ID, _RESPONSE_MODEL, _REQUEST_MODEL, *_INPUT, *_OUTPUT, *_CACHE_READ,
    *_CACHE_WRITE, *_REASONING, *(_DETAIL + name for name in _CACHE), _STREAM, _ERROR, _HTTP_STATUS,
    *(name for names in _ATTRIBUTION.values() for name in names),
))  # fmt: skip
_SCALARS = ("string_value", "bool_value", "int_value", "double_value")

# How the OpenAI and Anthropic SDKs name an answer that refuses, in error.type; the status of two is not in the name.
_REFUSALS: Mapping[str, int | None] = {
    "BadRequestError": 400,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "ConflictError": 409,
    "UnprocessableEntityError": 422,
    "RateLimitError": 429,
    "InternalServerError": None,
    "APIStatusError": None,
}
_STATUS_IN_MESSAGE = re.compile(r"Error code: ([1-5]\d\d)\b", re.ASCII)  # how both SDKs begin the text of a refusal


def read_attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """The attributes that are looked at, as far as they are plain values."""
    found = {}
    for attribute in attributes:
        if attribute.key in _READ or attribute.key.startswith(_TAG):
            kind = attribute.value.WhichOneof("value")
            if kind in _SCALARS:
                found[attribute.key] = getattr(attribute.value, kind)
    return found


def why_ignored(span: Span, own: Attributes, hosts: frozenset[str]) -> str | None:
    """Why a span is no call of DeepSeek; None where it is one.

    The host decides where it is known: the instrumentation of the OpenAI SDK calls every provider `openai`.
    """
    if not any(attribute.key.startswith("gen_ai.") for attribute in span.attributes):
        return NO_GEN_AI
    operation = own.get(_OPERATION)
    if operation not in INFERENCE and (operation is not None or _model(own) is None):
        return NOT_INFERENCE
    says_deepseek = str(_first(own, _PROVIDER)).lower() in PROVIDERS
    if host := host_of(own):
        if host in hosts:
            return None
        return UNKNOWN_HOST if says_deepseek else OTHER_PROVIDER
    return None if says_deepseek else OTHER_PROVIDER


def host_of(own: Attributes) -> str:
    """The host that a call went to, as it is compared; empty where the span does not say."""
    return str(own.get(_ADDRESS, "")).lower().rstrip(".")


def read_span(span: Span, own: Attributes, resource: Attributes, instrumentation: str) -> dict[str, Any]:
    """The usage event of a call's span, in the shape of the contract."""
    event: dict[str, Any] = {
        "event_id": id_of(span),
        "provider": PROVIDERS[0],
        "model": _model(own),
        "requested_model": own.get(_REQUEST_MODEL),
        "response_id": own.get(_RESPONSE_ID),
        "started_at": _instant(span.start_time_unix_nano),
        "completed_at": _instant(span.end_time_unix_nano),
        **_attribution(own, resource),
        **_outcome(span, own),
        "detail": {"instrumentation": instrumentation, "stream": own.get(_STREAM)},
    }
    event["detail"] = {name: value for name, value in event["detail"].items() if value not in (None, "")}
    return {name: value for name, value in event.items() if value is not None}


def id_of(span: Span) -> str | None:
    """What names a span wherever it is sent again; None where its ids are none (OTLP: 16 and 8 bytes, not all zero)."""
    trace, own = span.trace_id, span.span_id
    if (len(trace), len(own)) != (16, 8) or not any(trace) or not any(own):
        return None
    return f"{trace.hex()}:{own.hex()}"


def _model(own: Attributes) -> Any:
    return _first(own, (_RESPONSE_MODEL, _REQUEST_MODEL))


def _attribution(own: Attributes, resource: Attributes) -> dict[str, Any]:
    """Whose call it is; our own names go over the conventions', and the span's over the resource's."""
    found: dict[str, Any] = {}
    for field, names in _ATTRIBUTION.items():
        said = (_text(attributes[name]) for name in names for attributes in (own, resource) if name in attributes)
        found[field] = next((text for text in said if text and not text.startswith(_NO_NAME)), None)
    tags = {**resource, **own}
    found["tags"] = {
        name.removeprefix(_TAG): _text(value) for name, value in tags.items() if name.startswith(_TAG)
    } or None
    return found


def _outcome(span: Span, own: Attributes) -> dict[str, Any]:
    """Status, usage, and where there is no usage why.

    Tokens that were told count, whatever became of the call afterwards. Without them only a refusal is known to cost
    nothing; a call that was cut off may have been billed.
    """
    kind = own.get(_ERROR)
    error_code = _text(kind)[:TEXT_LENGTH] if kind is not None else None
    missing = [names[0] for names in (_INPUT, _OUTPUT) if _first(own, names) is None]
    if not missing:
        return {"status": OK, "usage": _usage(own)}
    status = _http_status(span, own)
    known = {"http_status": status, "error_code": error_code}
    if (status is not None and not 200 <= status < 300) or _error_name(own) in _REFUSALS:
        return {"status": FAILED, **known}
    reason = f"cut off: {error_code}" if error_code else f"the span has no {' and no '.join(missing)}"
    return {"status": UNMETERED, **known, "reason": reason[:TEXT_LENGTH]}


def _usage(own: Attributes) -> dict[str, Any]:
    """The provider's usage object as far as the span has it.

    Input includes what was read from the cache, output includes reasoning, as in DeepSeek's own object. A span that
    says nothing of the cache says nothing here either, and the call is flagged.
    """
    usage: dict[str, Any] = {"prompt_tokens": _first(own, _INPUT), "completion_tokens": _first(own, _OUTPUT)}
    usage |= {name: own[_DETAIL + name] for name in _CACHE if _DETAIL + name in own}
    cached = {"cached_tokens": _first(own, _CACHE_READ), "cache_write_tokens": _first(own, _CACHE_WRITE)}
    if any(count is not None for count in cached.values()):
        usage["prompt_tokens_details"] = {name: count for name, count in cached.items() if count is not None}
    reasoning = _first(own, _REASONING)
    if reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


def _http_status(span: Span, own: Attributes) -> int | None:
    """The status of the answer: said outright, as error.type, or in the SDK's message or name of the error."""
    for said in (own.get(_HTTP_STATUS), own.get(_ERROR)):
        if re.fullmatch(r"[1-5]\d\d", str(said), re.ASCII):
            return int(str(said))
    if span.status.code == Status.STATUS_CODE_ERROR and (match := _STATUS_IN_MESSAGE.match(span.status.message)):
        return int(match.group(1))
    return _REFUSALS.get(_error_name(own))


def _error_name(own: Attributes) -> str:
    return str(own.get(_ERROR, "")).rpartition(".")[2]


def _first(own: Attributes, names: Iterable[str]) -> Any:
    """The value of the first of these names that has one."""
    return next((own[name] for name in names if own.get(name) not in (None, "")), None)


def _text(value: object) -> str:
    """A text as it is; a number or a truth as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _instant(nanos: int) -> str | None:
    """Nanoseconds since 1970, cut to microseconds; 0 is what OTLP has for none."""
    return format_instant(from_micros(nanos // 1_000)) if nanos else None
