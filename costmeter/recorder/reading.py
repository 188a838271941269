"""What an answer says of itself: its usage, model, id and error, in chat, FIM, responses and Anthropic shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

NO_USAGE = "no usage in the body"
UNREADABLE = "unreadable body"
TOO_LARGE = "body too large to read"
ERROR_INSIDE = "error in the body"
UNDECODABLE = "undecodable body"
# Problems that make a caller leave: they, and not the leaving, are why there is no usage.
DRIVING_AWAY = (ERROR_INSIDE, UNDECODABLE)

# After these events a stream of the responses API or in Anthropic's format has nothing more to say.
FINAL_TYPES = ("response.completed", "response.incomplete", "response.failed", "message_stop")
# Half of a surrogate pair is legal as a JSON escape and can be stored nowhere; only prompts and answers have such text.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Reading(NamedTuple):
    """What a body said: the provider's usage object verbatim, or None and the problem."""

    usage: dict[str, Any] | None = None
    model: str | None = None
    response_id: str | None = None
    error_code: str | None = None
    complete: bool = False  # the whole JSON body, or the end mark of a stream, has been seen
    problem: str | None = NO_USAGE
    bytes: int = 0
    chunks: int = 0


def parse(raw: bytes) -> dict[str, Any] | None:
    """The JSON object that these bytes are, or None."""
    try:
        parsed = _decoder.decode((_SURROGATE.sub(rb"\\ufffd", raw) if b"\\u" in raw else raw).decode())
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def read_body(raw: bytes) -> Reading:
    """The reading of a body that is one JSON object."""
    body = parse(raw)
    if body is None:
        return Reading(problem=UNREADABLE)
    usage, code = _usage(body), _error_code(body)
    return Reading(usage, _text(body, "model"), _text(body, "id"), code, True, _problem(usage, code))


def read_events(
    head: dict[str, Any], first: dict[str, Any], last: dict[str, Any], error: dict[str, Any], *, complete: bool
) -> Reading:
    """The reading of a stream from its first event, its first and last with usage, and its last with an error.

    An event that was not seen is empty.
    """
    usage, code = _final_usage(first, last), _error_code(error)
    complete = complete or last.get("type") in FINAL_TYPES
    subjects = [_subject(event) for event in (last, head)]
    model = next(filter(None, (_text(subject, "model") for subject in subjects)), None)
    response_id = next(filter(None, (_text(subject, "id") for subject in subjects)), None)
    return Reading(usage, model, response_id, code, complete, _problem(usage, code))


def _final_usage(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any] | None:
    """The last usage counts; Anthropic's begins with the input's counts and ends with the output's."""
    usage = _usage(_subject(last))
    if last.get("type") == "message_start":
        return None  # what it counts of the output is not final
    if usage is not None and first.get("type") == "message_start":
        told = {name: value for name, value in usage.items() if value is not None}
        return {**(_usage(_subject(first)) or {}), **told}
    return usage


def _subject(event: dict[str, Any]) -> dict[str, Any]:
    """The answer that an event is about: the responses API and Anthropic's format wrap it."""
    for name in ("response", "message"):
        inner = event.get(name)
        if isinstance(inner, dict):
            return inner
    return event


def _usage(subject: Mapping[str, Any]) -> dict[str, Any] | None:
    usage = subject.get("usage")
    return usage if isinstance(usage, dict) and usage else None


def _error_code(event: dict[str, Any]) -> str | None:
    """The vendor's error.code, or else its type."""
    error = event.get("error") or _subject(event).get("error")
    if error is None and event.get("type") == "error":
        error = event
    if not isinstance(error, Mapping):
        return None
    code = error.get("code") or error.get("type")
    return str(code) if isinstance(code, str | int) else "error"


def _problem(usage: object, error_code: str | None) -> str | None:
    if usage is not None:
        return None
    return NO_USAGE if error_code is None else ERROR_INSIDE


def _text(subject: Mapping[str, Any], field: str) -> str | None:
    value = subject.get(field)
    return value if isinstance(value, str) and value else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)
