"""CloudEvents 1.0 whose data is a usage event: structured, in batches, and binary.

github.com/cloudevents/spec, v1.0.2: the JSON format and the HTTP binding.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cloudevents.core.bindings.http import CE_PREFIX, HTTPMessage, from_binary
from cloudevents.core.exceptions import BaseCloudEventException, CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import REQUIRED_ATTRIBUTES, CloudEvent

from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant
from costmeter.core.texts import TEXT_LENGTH
from costmeter.services.record_calls import Received

TYPE = "costmeter.usage.v1"
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_ANY = "application/cloudevents"  # of whatever format, known here or not


def is_cloudevent(headers: Mapping[str, str]) -> bool:
    """Whether a request holds CloudEvents, by its content type or by the headers of an event."""
    return _media_type(headers).startswith(_ANY) or any(name.lower() == f"{CE_PREFIX}specversion" for name in headers)


def read_cloudevents(headers: Mapping[str, str], body: bytes) -> list[Received]:
    """The usage events of a request: its id and source name one that has no id, its time is its completion if need be.

    Raises InputError naming the attribute where an event is no CloudEvent 1.0 of type costmeter.usage.v1 with a JSON
    object as its data; what the usage event itself lacks is told when it is recorded.
    """
    kind = _media_type(headers)
    if not kind.startswith(_ANY):
        return [_received(_read_binary(headers, body), 0)]
    if kind == STRUCTURED:
        return [_received(_read_structured(_decoded("body", body)), 0)]
    if kind != BATCH:
        raise InputError("Content-Type", kind, f"use {STRUCTURED}, {BATCH}, or the ce- headers")
    events = _decoded("body", body)
    if not isinstance(events, list):
        raise InputError("body", None, "is no batch; write a JSON array of CloudEvents")
    return [_received(_read_structured(event), number) for number, event in enumerate(events)]


class _Event(CloudEvent):
    """A CloudEvent that has what it must: the package would make up an id and a time where there is none."""

    def __init__(self, attributes: dict[str, Any], data: Any = None) -> None:
        for name in REQUIRED_ATTRIBUTES:
            if name not in attributes:
                raise InputError(name, None, "is missing; a CloudEvent has id, source, type and specversion")
        self.has_time = "time" in attributes
        super().__init__(attributes, data)


def _read_structured(event: object) -> _Event:
    if not isinstance(event, dict):
        raise InputError("body", None, "write each CloudEvent as a JSON object")
    if not isinstance(event.get("data_base64", ""), str):
        raise InputError("data_base64", event["data_base64"], "is no base64")
    try:
        return _checked(JSONFormat().read(_Event, json.dumps(event)))
    except _WRONG as error:
        raise _refused(error) from None


def _read_binary(headers: Mapping[str, str], body: bytes) -> _Event:
    try:
        return _checked(from_binary(HTTPMessage(dict(headers), body), JSONFormat(), _Event))
    except _WRONG as error:
        raise _refused(error) from None


# What the package raises of input that is wrong: its own errors, and those of the parsers that it calls.
_WRONG = (BaseCloudEventException, ValueError, TypeError, OverflowError, RecursionError)


def _refused(error: Exception) -> InputError:
    """The first thing that is wrong, without the values of others."""
    if isinstance(error, CloudEventValidationError):
        name, errors = next(iter(error.errors.items()))
        return InputError(name, None, f"is not as CloudEvents 1.0 has it: {errors[0]}")
    if isinstance(error, RecursionError):
        return InputError("body", None, "is nested too deep")
    if isinstance(error, binascii.Error):
        return InputError("data_base64", None, "is no base64")
    return InputError("time", None, "write an RFC 3339 instant such as 2025-03-01T16:30:00Z")


def _checked(event: object) -> _Event:
    assert isinstance(event, _Event)
    if event.get_type() != TYPE:
        raise InputError("type", event.get_type(), f"send events of type {TYPE}")
    return event


def _received(event: _Event, number: int) -> Received:
    data = event.get_data()
    if isinstance(data, bytes | str):
        data = _decoded("data", data)
    if not isinstance(data, dict):
        raise InputError("data", None, "write the usage event as a JSON object, with datacontenttype application/json")
    usage_event = dict(data)
    if not usage_event.get("event_id"):
        usage_event["event_id"] = _name(event.get_id(), event.get_source())
    at = event.get_time()
    if usage_event.get("completed_at") is None and event.has_time and at is not None:
        usage_event["completed_at"] = format_instant(at)
    return Received(usage_event, f"http:{number}")


def _name(id_: str, source: str) -> str:
    """One text for both, which together are unique (spec, id); a source is a URI and has no space."""
    name = f"{id_} {source}"
    return name if len(name) <= TEXT_LENGTH else f"ce:{hashlib.sha256(name.encode(errors='replace')).hexdigest()}"


def _decoded(field: str, text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(field, None, "is no JSON") from None


def _media_type(headers: Mapping[str, str]) -> str:
    said = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    return said.partition(";")[0].strip().lower()
