"""Freeze an account: calls go on being recorded, but nothing is posted to a ledger that does not add up."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.store import accounts, audit, freezes
from costmeter.store.engine import in_transaction
from costmeter.store.freezes import FROZEN, Freeze


def freeze_account(engine: Engine, name: str, *, by: str, reason: str, now: datetime) -> bool:
    """Whether the account was frozen now; one that is frozen stays as it is."""

    def freeze(connection: Connection) -> bool:
        if accounts.lock(connection, name).frozen_at is not None:
            return False
        freezes.add(connection, name, Freeze(freezes.next_number(connection, name), FROZEN, now, by, reason))
        audit.add(connection, "account.freeze", name, {}, by=by, at=now, account=name, reason=reason)
        return True

    return in_transaction(engine, freeze)
