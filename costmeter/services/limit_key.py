"""Limit an API key anew: how many calls it may make through the gateway, in a minute and at once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.rate_limits import Limits
from costmeter.core.texts import check_said
from costmeter.services.create_key import check_limits_of
from costmeter.services.revoke_key import active_keys
from costmeter.store import api_keys, audit
from costmeter.store.api_keys import ApiKey
from costmeter.store.engine import in_transaction


def limit_key(engine: Engine, name: str, limits: Limits, *, by: str, now: datetime) -> list[ApiKey]:
    """The active keys of a name, or the one of an id, all with these limits; None in them is any number."""
    by = check_said(by, "by")

    def limit(connection: Connection) -> list[ApiKey]:
        limited = []
        for key in active_keys(connection, name, now):
            checked = check_limits_of(key.roles, limits)
            limited.append(key._replace(**checked._asdict()))
            api_keys.limit(connection, key.key_id, checked)
            audit.add(connection, "key.limit", key.name, limited[-1].as_dict(now), by=by, at=now)
        return limited

    return in_transaction(engine, limit)
