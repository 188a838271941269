"""API keys as pages show them: what each may do, how it stands, and when calls last came by it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from costmeter.core.errors import InputError, NotFoundError
from costmeter.store import api_keys, rollups
from costmeter.store.api_keys import ApiKey

PAGE = 100  # keys that are listed at once
STATES = ("active", "ended")
LATELY = timedelta(days=60)  # in which a last call is looked for


def keys_report(connection: Connection, now: datetime, *, state: str | None, after: str | None) -> dict[str, Any]:
    """Keys by name, PAGE at once; `next` is the id of the key that the others stand after. No state is any.

    `last_call_on` is the newest day of LATELY on which calls came through the gateway by a key's name, null where none
    did: only those leave a trace, what else a key opens is not written down.
    """
    if state is not None and state not in STATES:
        raise InputError("state", state, f"use one of {', '.join(STATES)}")
    found = [key for key in api_keys.listed(connection) if state is None or key.is_active(now) == (state == "active")]
    place = next((number for number, key in enumerate(found, 1) if key.key_id == after), 0)
    shown = found[place : place + PAGE]
    calls = rollups.last_days(connection, {key.name for key in shown}, now - LATELY)
    keys = [{**key_shape(key, now), "last_call_on": calls.get(key.name)} for key in shown]
    return {"keys": keys, "count": len(found), "next": shown[-1].key_id if place + PAGE < len(found) else None}


def key_report(connection: Connection, key_id: str, now: datetime) -> dict[str, Any]:
    """An active key, and how many others would be left that may make keys; NotFoundError where there is none.

    `replaced_by` is the id of a newer active key of its name, which it was rotated into; null where there is none.
    """
    key = api_keys.get(connection, key_id)
    if key is None or not key.is_active(now):
        raise NotFoundError(f"no active key {key_id!r}; see the list of keys")
    active = [one for one in api_keys.listed(connection) if one.is_active(now)]
    newer = [one.key_id for one in active if one.name == key.name and one.created_at > key.created_at]
    return {
        **key_shape(key, now),
        "replaced_by": newer[-1] if newer else None,
        "other_admins": sum(_makes_keys(one) for one in active if one.key_id != key_id),
    }


def key_shape(key: ApiKey, now: datetime) -> dict[str, Any]:
    """A key as lists show it, never its text."""
    return dict(key.as_dict(now))


def _makes_keys(key: ApiKey) -> bool:
    return "admin" in key.roles and not key.grant().is_limited()
