"""Expire reservations: give back what holders that never came back still hold, and forget what ended long ago."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Engine

from costmeter.store import accounts, reservations
from costmeter.store.engine import in_transaction, reading

KEPT = timedelta(days=2)  # from when it was made, of which it lasts a day at most


def expire_reservations(engine: Engine, *, now: datetime) -> int:
    """End the reservations that have expired; returns how many. One whose call waits to be posted its charge will end.

    Each account is a transaction.
    """
    with reading(engine) as connection:
        names = reservations.accounts_with_expired(connection, now)
    return sum(len(in_transaction(engine, partial(reservations.expire, account=name, now=now))) for name in names)


def forget_reservations(engine: Engine, *, now: datetime) -> int:
    """Delete what ended of the reservations that were made more than two days ago; returns how many."""
    with reading(engine) as connection:
        names = [account.account for account in accounts.listed(connection) if account.budgets]
    forget = partial(reservations.forget, made_before=now - KEPT)
    return sum(in_transaction(engine, partial(forget, account=name)) for name in names)
