"""Discard items of quarantine: decide that they are not to be recorded, and keep who decided it, when and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.core.texts import check_said
from costmeter.store import audit, quarantine
from costmeter.store.engine import in_transaction
from costmeter.store.quarantine import Item


def discard_items(engine: Engine, names: Sequence[str], *, by: str, reason: str, now: datetime) -> list[Item]:
    """The items as they were, all of them discarded in one transaction; nothing of what they keep is deleted.

    An item that is not there or not open is an error, and then none is discarded.
    """
    by, reason = check_said(by, "by"), check_said(reason, "reason")

    def discard(connection: Connection) -> list[Item]:
        items = [quarantine.get_open(connection, name) for name in dict.fromkeys(names)]
        for item in items:
            if not quarantine.decide(connection, item, quarantine.DISCARDED, at=now, by=by, reason=reason):
                raise InputError("item", item.name, "was decided on by somebody else at this moment; look again")
            change = {"kind": item.kind, "event_id": item.event_id}
            audit.add(
                connection, "quarantine.discard", item.name, change, by=by, at=now, account=item.account, reason=reason
            )
        return items

    return in_transaction(engine, discard)
