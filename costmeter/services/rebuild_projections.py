"""Rebuild projections: work out again from the facts what is kept beside them for speed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, Engine

from costmeter.core.errors import FrozenError
from costmeter.core.periods import Period
from costmeter.services.check_budgets import rebuild_budgets
from costmeter.services.check_reserved import rebuild_reserved
from costmeter.store import accounts, detached, projections, rollups
from costmeter.store.bulk import Batch
from costmeter.store.engine import in_transaction, reading


def rebuild_projections(engine: Engine, names: Sequence[str] | None = None) -> list[str]:
    """Rebuild balances, waiting calls, rollups and budgets' spend of these accounts, or of all; returns their names.

    Each account is one transaction under its lock. FrozenError at one that is frozen: its facts contradict each other,
    and its release rebuilds it. DetachedError at one whose calls are not all at hand.
    """
    with reading(engine) as connection:
        found = [account.account for account in accounts.listed(connection, names)]
    for name in found:
        in_transaction(engine, partial(_rebuild, name=name))
    return found


def rebuild_rollups(engine: Engine) -> list[str]:
    """Rebuild the rollups of accounts that have charges which are not in them; returns their names.

    An account with detached months is left as it is: its reports are read from its charges.
    """
    with reading(engine) as connection:
        behind = [account.account for account in accounts.listed(connection) if account.rolled_up != account.version]
        stale = [name for name in behind if not detached.detached_months(connection, [name])]
    for name in stale:
        in_transaction(engine, partial(_roll_up, name=name))
    return stale


def _rebuild(connection: Connection, name: str) -> None:
    account = accounts.lock(connection, name)
    if account.frozen_at is not None:
        raise FrozenError(f"account {name!r} is frozen; releasing it rebuilds it: costmeter account release {name}")
    detached.refuse_period(connection, [name], Period(None, None))
    projections.rebuild(connection, account)
    rebuild_budgets(connection, account)
    rebuild_reserved(connection, account)


def _roll_up(connection: Connection, name: str) -> None:
    account = accounts.lock(connection, name)
    rollups.rebuild(connection, name, account.timezone)
    batch = Batch(connection)
    accounts.save(batch, account._replace(rolled_up=account.version))
    batch.write()
