"""What an answer says of itself: its usage, model, id and error, in chat, FIM, responses and Anthropic shape."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.json import Decoder

from costmeter.recorder.characters import Characters

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

_T = TypeVar("_T")
_Plain = str | int | float | bool | list[Any] | None  # where an object could stand


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
    characters: Characters | None = None  # of the answer as far as it was seen; counted only where there is no usage


class Subject(Struct, frozen=True):
    """The fields of an answer that count; the others are skipped undecoded."""

    id: Any = None
    model: Any = None
    usage: Any = None
    error: Any = None


class Event(Subject, frozen=True):
    """A JSON body, or an event of a stream: an answer, or what the responses API and Anthropic's format wrap it in."""

    type: Any = None
    code: Any = None
    response: Subject | _Plain = None
    message: Subject | _Plain = None


NO_EVENT = Event()


def parse(raw: bytes | bytearray) -> dict[str, Any] | None:
    """The JSON object that these bytes are, or None."""
    parsed = _decoded(_anything, raw)
    return parsed if isinstance(parsed, dict) else None


def parse_event(raw: bytes | bytearray) -> Event | None:
    """What counts of the JSON object that these bytes are, or None."""
    return _decoded(_events, raw)


def read_body(raw: bytes | bytearray) -> Reading:
    """The reading of a body that is one JSON object."""
    body = parse_event(raw)
    if body is None:
        return Reading(problem=UNREADABLE)
    usage, code = _usage(body), _error_code(body)
    return Reading(usage, _text(body.model), _text(body.id), code, True, _problem(usage, code))


def read_events(head: Event, first: Event, last: Event, error: Event, *, complete: bool) -> Reading:
    """The reading of a stream from its first event, its first and last with usage, and its last with an error."""
    usage, code = _final_usage(first, last), _error_code(error)
    complete = complete or last.type in FINAL_TYPES
    late, early = _subject(last), _subject(head)
    model, response_id = _text(late.model) or _text(early.model), _text(late.id) or _text(early.id)
    return Reading(usage, model, response_id, code, complete, _problem(usage, code))


def _final_usage(first: Event, last: Event) -> dict[str, Any] | None:
    """The last usage counts; Anthropic's begins with the input's counts and ends with the output's."""
    usage = _usage(_subject(last))
    if last.type == "message_start":
        return None  # what it counts of the output is not final
    if usage is not None and first.type == "message_start":
        told = {name: value for name, value in usage.items() if value is not None}
        return {**(_usage(_subject(first)) or {}), **told}
    return usage


def _subject(event: Event) -> Subject:
    """The answer that an event is about: the responses API and Anthropic's format wrap it."""
    for inner in (event.response, event.message):
        if isinstance(inner, Subject):
            return inner
    return event


def _usage(subject: Subject) -> dict[str, Any] | None:
    usage = subject.usage
    return usage if isinstance(usage, dict) and usage else None


def _error_code(event: Event) -> str | None:
    """The vendor's error.code, or else its type."""
    error = event.error or _subject(event).error
    if error is None and event.type == "error":
        code = event.code or event.type
    elif isinstance(error, dict):
        code = error.get("code") or error.get("type")
    else:
        return None
    return str(code) if isinstance(code, str | int) else "error"


def _problem(usage: object, error_code: str | None) -> str | None:
    if usage is not None:
        return None
    return NO_USAGE if error_code is None else ERROR_INSIDE


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _decoded(decoder: Decoder[_T], raw: bytes | bytearray) -> _T | None:
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        pass
    try:
        return decoder.decode(_SURROGATE.sub(rb"\\ufffd", raw)) if b"\\u" in raw else None
    except (ValueError, RecursionError):
        return None


_anything: Decoder[Any] = Decoder()
_events = Decoder(Event)
