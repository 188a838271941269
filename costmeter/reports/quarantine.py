"""Quarantine as pages show it: what could not be used, and, of a conflict, what stands against it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from costmeter.core.errors import InputError
from costmeter.core.events import read_event
from costmeter.core.periods import format_instant
from costmeter.reports.calls import Call, call_shape
from costmeter.reports.shapes import item_shape
from costmeter.store import events, quarantine
from costmeter.store.keys import identity_key
from costmeter.store.quarantine import CONFLICT, KINDS, STATES, Item

PAGE = 50  # items that are listed at once


def items_report(
    connection: Connection,
    *,
    account: str | None = None,
    state: str | None = None,
    kind: str | None = None,
    before: str | None = None,
) -> dict[str, Any]:
    """Items, newest first, PAGE at once; `next` is the place that the others stand after. None of a filter is any."""
    for name, value, known in (("state", state, STATES), ("kind", kind, KINDS)):
        if value is not None and value not in known:
            raise InputError(name, value, f"use one of {', '.join(known)}")
    conditions = quarantine.conditions(state=state, account=account, kind=kind)
    found = quarantine.listed(connection, *conditions, before=before, limit=PAGE + 1)
    more = quarantine.place(found[PAGE - 1]) if len(found) > PAGE else None
    return {"items": [item_shape(item) for item in found[:PAGE]], "next": more}


def open_report(connection: Connection, account: str | None) -> dict[str, dict[str, Any]]:
    """How many items of each kind are open, and since when the oldest of them is; of an account or of all."""
    found = quarantine.open_by_kind(connection, account)
    return {kind: {"items": found[kind][0], "since": format_instant(found[kind][1])} for kind in KINDS if kind in found}


def item_report(connection: Connection, item: Item) -> dict[str, Any]:
    """An item with all that was kept of it.

    Of a conflict, `first` is the recorded event that it contradicts (null where that is not found any more), and
    `differences` are the fields that say something else, as they were kept and as they are recorded.
    """
    kept = _event_of(item)
    first = None if kept is None else _first_version(connection, kept)
    return {**item_shape(item), "first": first, "differences": _differences(kept, first) if kept and first else []}


def _event_of(item: Item) -> dict[str, Any] | None:
    """A conflict's event as it would have been recorded; of anything else there is none."""
    if item.kind != CONFLICT:
        return None
    try:
        return call_shape(Call(b"", read_event(item.body), None))
    except InputError:
        return None


def _first_version(connection: Connection, kept: dict[str, Any]) -> dict[str, Any] | None:
    account, provider = kept["account"], kept["provider"]
    named = (("event", kept["event_id"]), ("response", kept["response_id"]))
    asked = [(account, provider, identity_key(kind, text)) for kind, text in named if text]
    known = events.known(connection, asked)
    found = next((known[identity] for identity in asked if identity in known), None)
    return None if found is None else call_shape(Call(found.event_key, found.event, None))


def _differences(kept: dict[str, Any], first: dict[str, Any]) -> list[dict[str, Any]]:
    names = [name for name in kept if name not in ("charge", "detail")]
    return [{"field": name, "kept": kept[name], "recorded": first[name]} for name in names if kept[name] != first[name]]
