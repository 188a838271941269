"""Alerts: a rule's threshold crossed in a period, one row each; and notices, which tell of them after the commit.

What is decided writes the alert and its notice in the deciding transaction. Who finds the row there already has nothing
to tell, so that one crossing is told once, however many processes see it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from costmeter.core.events import digest
from costmeter.store.alert_tables import AlertRow, NoticeRow
from costmeter.store.bulk import add_new, among
from costmeter.store.keys import new_key

NO_ACCOUNT = ""  # of what belongs to the installation: its scheduler, its price book
RAISED, RECOVERED, DIGEST, TEST = "raised", "recovered", "digest", "test"


class Crossing(NamedTuple):
    """Which rule's threshold, in which period: what is told once.

    `period` is the start of a budget's period; of what is watched it is which time it is so, counted from "1".
    """

    account: str
    rule: str
    period: str
    threshold: str


class Alert(NamedTuple):
    """One alert as it stands; `facts` are JSON, amounts as decimal strings and instants as RFC 3339."""

    account: str
    rule: str
    period: str
    threshold: str
    kind: str
    raised_at: datetime
    recovered_at: datetime | None
    facts: dict[str, Any]

    @property
    def crossing(self) -> Crossing:
        return Crossing(*self[:4])


class _Notice(NamedTuple):
    """What is to be told, as it is kept until it is routed."""

    account: str
    notice_id: bytes
    kind: str
    event: str
    subject: str
    facts: dict[str, Any]
    channels: list[str] | None
    created_at: datetime


_COLUMNS = tuple(getattr(AlertRow, name) for name in Alert._fields)


def raise_once(
    connection: Connection,
    crossing: Crossing,
    kind: str,
    facts: Mapping[str, Any],
    *,
    now: datetime,
    channels: Sequence[str] | None = None,
) -> bool:
    """Keep an alert and a notice of it; False, and nothing is told, where it was raised before in this period.

    One that had recovered since stands again, silently.
    """
    alert = Alert(*crossing, kind, now, None, dict(facts))
    if not add_new(connection, AlertRow, alert._asdict()):
        connection.execute(_of(crossing).values(recovered_at=None))
        return False
    notify(connection, crossing.account, kind, RAISED, facts, now=now, channels=channels, subject=crossing.rule)
    return True


def recover(
    connection: Connection,
    crossing: Crossing,
    kind: str,
    facts: Mapping[str, Any],
    *,
    now: datetime,
    channels: Sequence[str] | None = None,
) -> bool:
    """Say of an alert that stands that it does no more; False, and nothing is told, where none stands."""
    ended = _of(crossing).where(AlertRow.recovered_at.is_(None)).values(recovered_at=now)
    if connection.execute(ended).rowcount == 0:
        return False
    notify(connection, crossing.account, kind, RECOVERED, facts, now=now, channels=channels, subject=crossing.rule)
    return True


def _of(crossing: Crossing) -> Any:
    return update(AlertRow).where(*(getattr(AlertRow, k) == value for k, value in crossing._asdict().items()))


def notify(
    connection: Connection,
    account: str,
    kind: str,
    event: str,
    facts: Mapping[str, Any],
    *,
    now: datetime,
    subject: str,
    channels: Sequence[str] | None = None,
) -> bytes:
    """Keep something to be told, by these channels or by all; returns the id by which every receiver knows it."""
    row = _Notice(account, new_key(), kind, event, subject, dict(facts), _listed(channels), now)
    connection.execute(insert(NoticeRow), row._asdict())
    return row.notice_id


def notify_once(
    connection: Connection,
    account: str,
    kind: str,
    event: str,
    facts: Mapping[str, Any],
    *,
    now: datetime,
    subject: str,
    channels: Sequence[str] | None = None,
) -> bool:
    """The same for what an account is told once of a subject; False where it is kept already, by whomever."""
    key = _once(account, event, subject)
    row = _Notice(account, key, kind, event, subject, dict(facts), _listed(channels), now)
    return add_new(connection, NoticeRow, row._asdict())


def _listed(channels: Sequence[str] | None) -> list[str] | None:
    return None if channels is None else list(channels)


def is_kept(connection: Connection, account: str, event: str, subject: str) -> bool:
    """Whether what is told once is kept already."""
    query = select(NoticeRow.account).where(NoticeRow.account == account)
    return connection.scalar(query.where(NoticeRow.notice_id == _once(account, event, subject))) is not None


def _once(account: str, event: str, subject: str) -> bytes:
    """The id of what is told once: made of what it is, so that two who would tell it make the same."""
    return digest([account, event, subject])


def standing(connection: Connection, account: str, rule: str) -> list[Alert]:
    """The alerts of a rule that have not recovered, oldest first."""
    query = select(*_COLUMNS).where(AlertRow.account == account, AlertRow.rule == rule)
    query = query.where(AlertRow.recovered_at.is_(None)).order_by(AlertRow.raised_at, AlertRow.threshold)
    return [Alert(*row) for row in connection.execute(query)]


def standing_of(connection: Connection, accounts: Collection[str] | None, kinds: Collection[str]) -> list[Alert]:
    """The alerts of these kinds that have not recovered, of all or of some accounts, oldest first."""
    query = select(*_COLUMNS).where(AlertRow.kind.in_(kinds), AlertRow.recovered_at.is_(None))
    if accounts is not None:
        query = query.where(among(connection, AlertRow.account, accounts))
    order = (AlertRow.raised_at, AlertRow.account, AlertRow.rule, AlertRow.threshold)
    return [Alert(*row) for row in connection.execute(query.order_by(*order))]


def count_standing(connection: Connection, kinds: Collection[str]) -> dict[str, int]:
    """How many alerts of each of these kinds have not recovered."""
    query = select(AlertRow.kind, func.count()).where(AlertRow.kind.in_(kinds), AlertRow.recovered_at.is_(None))
    found = {kind: int(count) for kind, count in connection.execute(query.group_by(AlertRow.kind))}
    return {kind: found.get(kind, 0) for kind in kinds}


def next_time(connection: Connection, account: str, rule: str, threshold: str) -> str:
    """Which time it would be that what is watched is raised: the same for every process that looks now.

    Whoever raises by it holds the account's lock, so that nobody counts before another one has raised.
    """
    query = select(func.count()).where(
        AlertRow.account == account, AlertRow.rule == rule, AlertRow.threshold == threshold
    )
    return str((connection.scalar(query) or 0) + 1)


def listed(
    connection: Connection,
    accounts: Collection[str] | None = None,
    *,
    kind: str | None = None,
    rule: str | None = None,
    is_standing: bool = False,
    first: int = 0,
    limit: int,
) -> list[Alert]:
    """The newest alerts from the `first` (0) on, of all or of some accounts; of a kind or rule, or those that stand."""
    query = select(*_COLUMNS).order_by(AlertRow.raised_at.desc(), AlertRow.rule, AlertRow.threshold, AlertRow.account)
    if accounts is not None:
        query = query.where(AlertRow.account.in_(accounts))
    if kind is not None:
        query = query.where(AlertRow.kind == kind)
    if rule is not None:
        query = query.where(AlertRow.rule == rule)
    if is_standing:
        query = query.where(AlertRow.recovered_at.is_(None))
    return [Alert(*row) for row in connection.execute(query.offset(first).limit(limit))]
