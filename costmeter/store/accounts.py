"""Accounts: made at their first mention; the row is the lock and the gapless sequence of its ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, select, update

from costmeter.core.errors import NotFoundError
from costmeter.core.periods import format_instant
from costmeter.core.secrets import without_secrets
from costmeter.store.bulk import Batch, among
from costmeter.store.sizes import citus_version
from costmeter.store.tables import AccountRow

NO_CHAIN = bytes(16)  # before an account's first journal entry


class Home(NamedTuple):
    """What an account gets that is made at its first mention."""

    currency: str = "USD"
    timezone: str = "UTC"


class Account(NamedTuple):
    """An account as it stands; `version` numbers the newest fact of its ledger, `overdraft` is what it owes.

    Its rollups are kept while `rolled_up` is its version. `budgets` changes with its budgets; 0 is none, ever. While
    `frozen_at` says since when it is frozen, nothing is posted to it.
    """

    account: str
    currency: str
    timezone: str
    version: int
    overdraft: int
    chain: bytes
    created_at: datetime
    rolled_up: int
    budgets: int
    frozen_at: datetime | None


_COLUMNS = tuple(getattr(AccountRow, name) for name in Account._fields)


def make_missing(connection: Connection, names: Collection[str], home: Home, now: datetime) -> list[str]:
    """Make those of the accounts that are not there yet, and say which."""
    known = set(connection.scalars(select(AccountRow.account).where(among(connection, AccountRow.account, names))))
    missing = sorted(set(names) - known)
    if missing:
        zeros = {"version": 0, "overdraft": 0, "chain": NO_CHAIN, "created_at": now}
        rows = [{"account": n, "currency": home.currency, "timezone": home.timezone, **zeros} for n in missing]
        connection.execute(insert(AccountRow), rows)
    return missing


def listed(
    connection: Connection, names: Collection[str] | None = None, *, after: str | None = None, limit: int | None = None
) -> list[Account]:
    """All accounts, or those named, by name; those after a name where one is given."""
    query = select(*_COLUMNS).order_by(AccountRow.account).limit(limit)
    if after is not None:
        query = query.where(AccountRow.account > after)
    if names is not None:
        query = query.where(among(connection, AccountRow.account, names))
    return [Account(*row) for row in connection.execute(query)]


def matching(connection: Connection, condition: ColumnElement[bool]) -> list[Account]:
    """The accounts that meet a condition of their row."""
    return [Account(*row) for row in connection.execute(select(*_COLUMNS).where(condition))]


def count_facts(connection: Connection, names: Collection[str] | None = None) -> int:
    """How many facts were posted to all accounts, or to those named."""
    query = select(func.coalesce(func.sum(AccountRow.version), 0))
    if names is not None:
        query = query.where(among(connection, AccountRow.account, names))
    return int(connection.scalars(query).one())


def frozen(connection: Connection) -> list[Account]:
    """The accounts that nothing is posted to, by name."""
    query = select(*_COLUMNS).where(AccountRow.frozen_at.is_not(None)).order_by(AccountRow.account)
    return [Account(*row) for row in connection.execute(query)]


def get(connection: Connection, name: str, known_at: datetime | None = None) -> Account:
    """The account of that name, or, where the name is a key, of its fingerprint; known_at must not be before it."""
    name = without_secrets(name)
    row = connection.execute(select(*_COLUMNS).where(AccountRow.account == name)).one_or_none()
    if row is None:
        raise NotFoundError(
            f"no account {name!r}; it is made at its first call or credit, or by: costmeter account add"
        )
    account = Account(*row)
    if known_at is not None and account.created_at > known_at:
        made = format_instant(account.created_at)
        raise NotFoundError(f"no account {name!r} was known at {format_instant(known_at)}; it was made at {made}")
    return account


def shared_zone(found: Collection[Account]) -> str:
    """The time zone that all of these accounts have, else UTC."""
    zones = {account.timezone for account in found}
    return zones.pop() if len(zones) == 1 else "UTC"


def lock(connection: Connection, name: str) -> Account:
    """The account, locked until the transaction ends; an UPDATE locks on SQLite and PostgreSQL alike."""
    statement = update(AccountRow).where(AccountRow.account == name).values(version=AccountRow.version)
    row = connection.execute(statement.returning(*_COLUMNS)).one_or_none()
    if row is None:
        raise NotFoundError(f"no account {name!r}")
    return Account(*row)


def lock_all(connection: Connection, names: Collection[str]) -> list[Account]:
    """The accounts, locked until the transaction ends.

    They are locked in one order everywhere: posters of the same accounts wait for each other instead of in a circle.
    """
    ordered = sorted(set(names))
    if len(ordered) == 1:
        return [lock(connection, ordered[0])]
    if connection.dialect.name == "sqlite":
        lock(connection, ordered[0])  # the file has one lock, for all of it
        found = listed(connection, ordered)
    elif citus_version(connection) is not None:
        found = _lock_each(connection, ordered)
    else:  # no row is written for it
        query = select(*_COLUMNS).where(among(connection, AccountRow.account, ordered)).order_by(AccountRow.account)
        found = [Account(*row) for row in connection.execute(query.with_for_update())]
    if missing := set(ordered) - {account.account for account in found}:
        raise NotFoundError(f"no account {min(missing)!r}")
    return found


def _lock_each(connection: Connection, ordered: Sequence[str]) -> list[Account]:
    """Each by a statement of its own, which Citus sends to one node: it locks no rows of several by one SELECT."""
    statement = update(AccountRow).where(AccountRow.account == bindparam("name")).values(version=AccountRow.version)
    connection.execute(statement, [{"name": name} for name in ordered])
    return listed(connection, ordered)


def save(batch: Batch, account: Account) -> None:
    """Write what posting moved: version, overdraft, chain, and how far the rollups are kept."""
    moved = {name: getattr(account, name) for name in ("version", "overdraft", "chain", "rolled_up")}
    batch.change(AccountRow, ("account",), [{"account": account.account, **moved}])


def settle(connection: Connection, name: str, home: Home) -> None:
    """Set currency and time zone of an account that has posted nothing yet."""
    connection.execute(
        update(AccountRow)
        .where(AccountRow.account == name, AccountRow.version == 0)
        .values(currency=home.currency, timezone=home.timezone)
    )
