"""Rotate an API key: a new one that may do the same, and an end of the old one after both have worked for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant
from costmeter.core.texts import check_said
from costmeter.services.create_key import make
from costmeter.services.revoke_key import active_keys
from costmeter.store import api_keys, audit
from costmeter.store.api_keys import ApiKey
from costmeter.store.engine import in_transaction


def rotate_key(engine: Engine, name: str, *, overlap: timedelta, by: str, now: datetime) -> tuple[ApiKey, str]:
    """The new key and its text; the old ones of that name (or the one of that id) end after `overlap`, or earlier.

    The new one expires as late after now as the newest old one did after it was made.
    """
    by = check_said(by, "by")
    if overlap < timedelta(0):
        raise InputError("overlap", str(overlap), "is 0 or more")

    def rotate(connection: Connection) -> tuple[ApiKey, str]:
        old = active_keys(connection, name, now)
        newest = old[-1]
        expires_at = newest.expires_at and now + (newest.expires_at - newest.created_at)
        key, text = make(newest._replace(created_at=now, expires_at=expires_at))
        api_keys.add(connection, key)
        ends = now + overlap
        for one in old:
            api_keys.end(connection, one.key_id, expires_at=min(one.expires_at or ends, ends), revoked_at=None)
        change = {**key.as_dict(now), "replaces": [one.key_id for one in old], "until": format_instant(ends)}
        audit.add(connection, "key.rotate", newest.name, change, by=by, at=now)
        return key, text

    return in_transaction(engine, rotate)
