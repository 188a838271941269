"""Usage events: what a call used and when it completed, written once and never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant, parse_instant
from costmeter.core.secrets import without_secrets
from costmeter.core.texts import TEXT_LENGTH, UNSTORABLE, cleaned, cleaned_text, is_plain
from costmeter.core.usage import Usage, keep_counts, read_usage

OK, FAILED, UNMETERED = "ok", "failed", "unmetered"
STATUSES = (OK, FAILED, UNMETERED)
PROVIDERS = ("deepseek",)
# Fields of the event that are kept; anything else is dropped and counted, since it could hold a prompt or a key.
FIELDS = (
    "event_id", "account", "project", "user", "api_key", "tags", "provider", "model", "requested_model", "response_id",
    "operation_id", "status", "started_at", "completed_at", "usage", "http_status", "error_code", "reason", "estimate",
    "detail",
)  # fmt: skip
ACCOUNT_LENGTH = 64
TAGS_COUNT = 32
SAME_CALL = timedelta(hours=1)  # two doors see one call's completion within this
FUTURE = timedelta(minutes=5)  # a completion further ahead of its receipt is a broken clock
DEFAULT_ACCOUNT = "default"
_NAMED_BY = (
    "event_id", "account", "project", "user", "api_key", "provider", "model", "requested_model", "response_id",
    "operation_id",
)  # fmt: skip
_NO_ID = ("", "None", "null")
_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode
_new = tuple.__new__  # a named tuple's own constructor takes its fields by name, which costs as much as reading them


class UsageEvent(NamedTuple):
    """One call: attribution, instants, and the tokens that the provider reported (None unless status is ok)."""

    event_id: str | None
    account: str
    project: str | None
    user: str | None
    api_key: str | None
    tags: Mapping[str, str]
    provider: str
    model: str
    requested_model: str | None
    response_id: str | None
    operation_id: str | None
    status: str
    started_at: datetime | None
    completed_at: datetime
    usage: Usage | None
    raw_usage: Mapping[str, Any] | None
    http_status: int | None
    error_code: str | None
    reason: str | None
    detail: Mapping[str, Any]

    def content(self) -> tuple[Any, ...]:
        """What makes two events the same: account, provider, model, status, completion, counts, response id."""
        counts = self.usage[:4] if self.usage else None
        at = format_instant(self.completed_at)
        return (self.account, self.provider, self.model, self.status, at, counts, self.response_id)

    def seal(self) -> bytes:
        """16 bytes that change with anything that a bill or a report says of the call."""
        attribution = [self.project, self.user, self.api_key, sorted(self.tags.items()), self.requested_model]
        started_at = format_instant(self.started_at) if self.started_at else None
        return digest([self.event_id, *self.content(), started_at, *attribution])

    def is_same_call(self, other: UsageEvent) -> bool:
        """Whether two doors saw one call: equal model and counts, and completions within an hour.

        A door that was left before the end has no counts, and says nothing against those of another.
        """
        if self.model != other.model or abs(self.completed_at - other.completed_at) > SAME_CALL:
            return False
        if (self.status, other.status) == (UNMETERED, OK):
            return True
        counts, others = self.usage and self.usage[:4], other.usage and other.usage[:4]
        return self.status == other.status and counts == others


def digest(content: object) -> bytes:
    """16 bytes that stand for any JSON content."""
    return hashlib.blake2b(_encoded(content).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_event(body: object) -> UsageEvent:
    """A usage event of the contract's shape; raises InputError naming the field, the value and the remedy."""
    if not isinstance(body, Mapping):
        raise InputError("event", body, "write one JSON object per usage event")
    status, usage, raw = _measured(body)
    started_at = None if body.get("started_at") is None else parse_instant(body["started_at"], "started_at")
    completed_at = parse_instant(body.get("completed_at"), "completed_at")
    if started_at is not None and completed_at < started_at:
        raise InputError("completed_at", body["completed_at"], f"is before started_at {format_instant(started_at)}")
    usual = _usual_texts(body) if type(body) is dict else None
    event_id, account, project, user, api_key, provider, model, requested_model, response_id, operation_id = (
        usual or _texts(body)
    )
    fields = (
        event_id, account, project, user, api_key, _tags(body.get("tags")), provider, model, requested_model,
        response_id, operation_id, status, started_at, completed_at, usage, raw, _http_status(body.get("http_status")),
        _text(body, "error_code"), _text(body, "reason"), _detail(body),
    )  # fmt: skip
    return _new(UsageEvent, fields)


def _texts(body: Mapping[str, Any]) -> tuple[str | None, ...]:
    """The ten texts that name and attribute a call, each checked and cleaned."""
    return (
        _id(body, "event_id"),
        check_account(body.get("account") if body.get("account") is not None else DEFAULT_ACCOUNT),
        _text(body, "project"),
        _text(body, "user"),
        _text(body, "api_key"),
        _provider(body.get("provider")),
        _model(body),
        _text(body, "requested_model"),
        _id(body, "response_id"),
        _id(body, "operation_id"),
    )


def _usual_texts(body: dict[str, Any]) -> tuple[str | None, ...] | None:
    """The same of a usual body, whose texts are kept as they are: one test of all of them together tells it.

    None sends the body the long way; a property holds the two equal.
    """
    found: tuple[Any, ...] = tuple(map(body.get, _NAMED_BY))
    if found[1] is None:
        found = (found[0], DEFAULT_ACCOUNT, *found[2:])
    try:
        together = " ".join([text for text in found if text is not None])
    except TypeError:
        return None  # one is no text
    event_id, account, _, _, _, provider, model, _, response_id, operation_id = found
    if (
        provider not in PROVIDERS or not model or "" in found or not is_plain(together)
        or not 0 < len(account) <= ACCOUNT_LENGTH or account.strip() != account
    ):  # fmt: skip
        return None
    for text in (event_id, response_id, operation_id):
        if text is not None and text.strip() in _NO_ID:
            return None
    return found


def read_event_id(value: object) -> str | None:
    """The id that the usage event of a call will be known by; empty, "None" and what is no text are no id."""
    return _id({"event_id": value}, "event_id")


def read_attribution(body: Mapping[str, Any]) -> dict[str, str | None]:
    """Project, user, api_key, model and tag:NAME of a call, each as its usage event will have it."""
    texts = {field: _text(body, field) for field in ("project", "user", "api_key", "model")}
    return texts | {f"tag:{name}": text for name, text in _tags(body.get("tags")).items()}


def check_account(value: object, field: str = "account") -> str:
    """An account's name: 1 to 64 printable characters, nothing at its ends to trim."""
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= ACCOUNT_LENGTH
        or value != value.strip()
        or not value.isprintable()
    ):
        raise InputError(field, value, f"an account is named by 1 to {ACCOUNT_LENGTH} printable characters")
    return without_secrets(value)[:ACCOUNT_LENGTH]


def known_fields(body: object) -> tuple[dict[str, Any], int]:
    """The fields of an unusable event that may be kept, cleaned of secrets, and how many others were dropped."""
    if not isinstance(body, Mapping):
        return {}, 0
    kept = {field: cleaned(body[field]) for field in FIELDS if field in body}
    if kept.get("usage") is not None:
        kept["usage"] = _without_texts(kept["usage"])
    return kept, len(body) - len(kept)


def _without_texts(value: Any) -> Any:
    """A refused usage object as it was but for its texts, which have no place in one and could be a prompt."""
    if isinstance(value, dict):
        return {key: _without_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_texts(inner) for inner in value]
    return "<text>" if isinstance(value, str) and not value.lstrip("-").isdigit() else value


def _measured(body: Mapping[str, Any]) -> tuple[str, Usage | None, Mapping[str, Any] | None]:
    raw, status = body.get("usage"), body.get("status")
    if status is None:
        status = UNMETERED if raw is None else OK
    if status not in STATUSES:
        raise InputError("status", status, f"use one of {', '.join(STATUSES)}")
    if status != OK:
        if raw is not None:
            raise InputError("usage", raw, f"must be null where status is {status}; send what is known as estimate")
        return status, None, None
    if raw is None:
        raise InputError("usage", None, "is missing; without it send status unmetered and a reason")
    return status, read_usage(raw), keep_counts(raw)


def _provider(value: object) -> str:
    if value is None:
        return PROVIDERS[0]
    if value not in PROVIDERS:
        raise InputError("provider", value, f"use one of {', '.join(PROVIDERS)}")
    return str(value)


def _model(body: Mapping[str, Any]) -> str:
    model = _text(body, "model")
    if model is None:
        raise InputError("model", body.get("model"), "is missing; name the model of the response")
    return model


def _id(body: Mapping[str, Any], field: str) -> str | None:
    """An id; empty, "None" and what is no text are no id."""
    value = body.get(field)
    if not isinstance(value, str) or value.strip() in _NO_ID:
        return None
    return _text(body, field)


def _text(body: Mapping[str, Any], field: str) -> str | None:
    value = body.get(field)
    if value is None or value == "":
        return None
    if type(value) is str and is_plain(value):
        return value
    if not isinstance(value, str) or len(value) > TEXT_LENGTH or UNSTORABLE.search(value):
        raise InputError(field, value, f"write a text of at most {TEXT_LENGTH} characters")
    return without_secrets(value)[:TEXT_LENGTH]


def _tags(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > TAGS_COUNT:
        raise InputError("tags", value, f"write an object of at most {TAGS_COUNT} texts")
    if type(value) is dict and _are_usual_tags(value):
        return value.copy()
    tags = {}
    for name, text in value.items():
        if not isinstance(name, str) or not 0 < len(name) <= TEXT_LENGTH or UNSTORABLE.search(name):
            raise InputError("tags", name, f"a tag is named by 1 to {TEXT_LENGTH} characters")
        tag = _text({name: text}, name)
        if tag is not None:
            tags[cleaned_text(name)] = tag
    return tags


def _are_usual_tags(tags: dict[Any, Any]) -> bool:
    """Whether tags are kept as they are: one test of all of them together tells it, as of a usual body's texts."""
    texts = [*tags, *tags.values()]
    try:
        return "" not in texts and is_plain(" ".join(texts))
    except TypeError:
        return False  # one is no text


def _http_status(value: object) -> int | None:
    if value is None or (type(value) is int and 100 <= value <= 599):
        return value
    raise InputError("http_status", value, "write a number from 100 to 599")


def _detail(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is known besides: plain values of the detail object, and the estimate of an unmetered call."""
    detail = body.get("detail")
    if detail is None and body.get("estimate") is None:
        return {}
    if detail is not None and not isinstance(detail, Mapping):
        raise InputError("detail", detail, "write an object")
    kept = {cleaned_text(str(k)): cleaned(v) for k, v in (detail or {}).items()}
    if body.get("estimate") is not None:
        kept["estimate"] = cleaned(body["estimate"])
    return kept
