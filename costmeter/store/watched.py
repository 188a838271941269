"""What the watch looks at: few statements for many accounts, each answered by an index and none by the events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, or_, select, text

from costmeter.core.events import UNMETERED
from costmeter.core.periods import quarter_of, zone
from costmeter.core.watch import NO_DATA
from costmeter.core.watch import UNMETERED as UNMETERED_RULE
from costmeter.core.watched_account import DAILY, DAY, MEAN_DAYS, Differing, Holding, Items, Seen, Unpriced, Waiting
from costmeter.store import freezes, observations
from costmeter.store.accounts import Account
from costmeter.store.bulk import among
from costmeter.store.events import of_one_event
from costmeter.store.freezes import FROZEN
from costmeter.store.known import is_superseded
from costmeter.store.observations import OPEN
from costmeter.store.quarantine import CONFLICT
from costmeter.store.rollup_tables import UNPRICED
from costmeter.store.tables import (
    AccountRow,
    ChargeRow,
    CreditBalanceRow,
    CreditRow,
    CreditVoidRow,
    DayRow,
    EventRow,
    ObservationRow,
    PendingRow,
    QuarantineRow,
    QuarterRow,
)
from costmeter.store.types import join_halves

USED_DAYS = 30  # in which a model must have been used for its price changes to be told


class Spend(NamedTuple):
    """What the rollups of the last days say of an account."""

    spent: int
    is_daily: bool


def look_at(
    connection: Connection,
    accounts: Sequence[Account],
    now: datetime,
    *,
    models: bool,
    standing: Collection[tuple[str, str]],
) -> list[Seen]:
    """What is so with these accounts. Balances are those that are posted, as of now.

    `models` is whether a price will change; `standing` are the accounts and kinds of the alerts that stand.
    """
    names = [account.account for account in accounts]
    holdings, tracked = _holdings(connection, names, now), _tracked(connection, names, now)
    spend = _spend(connection, accounts, now)
    last = _last_calls(connection, [name for name in names if (name, NO_DATA) in standing or spend[name].is_daily])
    used = _models(connection, names, now) if models else {}
    unpriced, items = _unpriced(connection, names), open_items(connection, names)
    unmetered = _unmetered(connection, names, now)
    told = (name for name in names if name in unmetered or (name, UNMETERED_RULE) in standing)
    measured = _measured(connection, [*told], now)
    differing, unposted = _differing(connection, names, now), waiting(connection, names)
    return [
        Seen(
            name,
            account.currency,
            is_tracked=name in tracked,
            holdings=holdings.get(name, ()),
            overdraft=account.overdraft,
            has_rollups=account.rolled_up == account.version,
            spent=spend[name].spent,
            models=frozenset(used.get(name, ())),
            is_daily=spend[name].is_daily,
            last_call=last.get(name),
            unpriced=unpriced.get(name, ()),
            items=items.get(name, ()),
            unmetered=unmetered.get(name, 0),
            measured=measured.get(name, 0),
            differing=differing.get(name),
            waiting=unposted.get(name),
            frozen_at=account.frozen_at,
            frozen_for=_frozen_for(connection, account),
        )
        for account, name in zip(accounts, names, strict=True)
    ]


def _by_account(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """What stands behind the account in each row, by account."""
    found: dict[str, list[Any]] = defaultdict(list)
    for account, *rest in rows:
        found[account].append(rest)
    return found


def _holdings(connection: Connection, names: Sequence[str], now: datetime) -> dict[str, list[Holding]]:
    """The credits that have something left and have not expired."""
    both = and_(CreditBalanceRow.account == CreditRow.account, CreditBalanceRow.credit_id == CreditRow.credit_id)
    columns = (CreditRow.credit_id, CreditRow.kind, CreditBalanceRow.remaining)
    query = select(CreditRow.account, *columns, CreditRow.effective_at, CreditRow.expires_at, CreditRow.reference)
    query = query.join(CreditBalanceRow, both).where(among(connection, CreditRow.account, names))
    query = query.where(CreditBalanceRow.remaining > 0, or_(CreditRow.expires_at.is_(None), CreditRow.expires_at > now))
    found = _by_account(connection.execute(query.order_by(CreditRow.account, CreditRow.credit_id)))
    return {name: [Holding(*row) for row in rows] for name, rows in found.items()}


def _tracked(connection: Connection, names: Sequence[str], now: datetime) -> set[str]:
    """The accounts that a credit has opened."""
    voided = and_(CreditVoidRow.account == CreditRow.account, CreditVoidRow.credit_id == CreditRow.credit_id)
    query = select(CreditRow.account).distinct().outerjoin(CreditVoidRow, voided).where(CreditVoidRow.seq.is_(None))
    query = query.where(among(connection, CreditRow.account, names), CreditRow.effective_at <= now)
    return set(connection.scalars(query))


def _spend(connection: Connection, accounts: Sequence[Account], now: datetime) -> dict[str, Spend]:
    first = (now - (MEAN_DAYS + DAILY + 2) * DAY).date()
    high, low = func.sum(DayRow.cost_high), func.sum(DayRow.cost_low)
    query = select(DayRow.account, DayRow.day, func.sum(DayRow.calls), high, low).group_by(DayRow.account, DayRow.day)
    query = query.where(*_since(connection, [account.account for account in accounts], first))
    found = _by_account(connection.execute(query))
    return {
        account.account: _spend_of(found.get(account.account, ()), now.astimezone(zone(account.timezone)).date())
        for account in accounts
    }


def _spend_of(rows: Iterable[Any], today: date) -> Spend:
    days = {date.fromisoformat(day): (calls, join_halves(high, low)) for day, calls, high, low in rows}
    spent = sum(cost for day, (_, cost) in days.items() if 1 <= (today - day).days <= MEAN_DAYS)
    busy = {day for day, (calls, _) in days.items() if calls > 0}
    if not busy:
        return Spend(spent, False)
    last = max(busy)
    is_lately = (today - last).days <= DAILY
    return Spend(spent, is_lately and all(last - number * DAY in busy for number in range(DAILY)))


def _since(connection: Connection, names: Sequence[str], first: date) -> list[Any]:
    """The rollups of these accounts from a day on; a call is never booked before the month of its completion."""
    month = f"{first - DAY:%Y-%m}"
    return [among(connection, DayRow.account, names), DayRow.billing_month >= month, DayRow.day >= first.isoformat()]


def _last_calls(connection: Connection, names: Sequence[str]) -> dict[str, datetime]:
    """When the newest call of each account completed, whatever became of it: posted, waiting, or without usage."""
    if not names:
        return {}
    newest = [
        select(func.max(table.completed_at)).where(table.account == AccountRow.account, *where).scalar_subquery()
        for table, where in (
            (ChargeRow, ()), (EventRow, (EventRow.cache_hit_tokens.is_(None),)), (PendingRow, ()),
        )
    ]  # fmt: skip
    query = select(AccountRow.account, *newest).where(among(connection, AccountRow.account, names))
    found = {}
    for name, *instants in connection.execute(query):
        known = [instant for instant in instants if instant is not None]
        if known:
            found[name] = max(known)
    return found


def _models(connection: Connection, names: Sequence[str], now: datetime) -> dict[str, list[str]]:
    """The models that calls of the last days were of."""
    where = _since(connection, names, (now - USED_DAYS * DAY).date())
    found = _by_account(connection.execute(select(DayRow.account, DayRow.model).distinct().where(*where)))
    return {name: [model for (model,) in rows] for name, rows in found.items()}


def _unpriced(connection: Connection, names: Sequence[str]) -> dict[str, list[Unpriced]]:
    calls = func.sum(DayRow.unpriced)
    query = select(DayRow.account, DayRow.model, calls, func.min(DayRow.day)).where(UNPRICED)
    query = query.where(among(connection, DayRow.account, names)).group_by(DayRow.account, DayRow.model)
    found = _by_account(connection.execute(query.having(calls != 0).order_by(DayRow.model)))
    return {name: [Unpriced(model, int(count), day) for model, count, day in rows] for name, rows in found.items()}


def open_items(connection: Connection, names: Sequence[str] | None) -> dict[str, list[Items]]:
    """What is open in quarantine but for conflicts: of these accounts, or of all that were never made."""
    kind = QuarantineRow.kind
    query = select(QuarantineRow.account, kind, func.count(), func.min(QuarantineRow.received_at))
    query = query.where(text("quarantine.state = 'open'"), kind != CONFLICT).group_by(QuarantineRow.account, kind)
    if names is None:
        query = query.where(~select(AccountRow).where(AccountRow.account == QuarantineRow.account).exists())
    else:
        query = query.where(among(connection, QuarantineRow.account, names))
    found = _by_account(connection.execute(query.order_by(QuarantineRow.account, kind)))
    return {name: [Items(*row) for row in rows] for name, rows in found.items()}


def _unmetered(connection: Connection, names: Sequence[str], now: datetime) -> dict[str, int]:
    """The calls of the last 24 hours whose usage nobody saw, then or since."""
    query = select(EventRow.account, func.count()).where(among(connection, EventRow.account, names))
    query = query.where(*unmetered_since(now - DAY)).group_by(EventRow.account)
    return {name: calls for name, calls in connection.execute(query)}  # noqa: C416  a row is no pair for dict()


def unmetered_since(since: datetime) -> tuple[Any, ...]:
    """The condition that an event is a call after an instant whose usage nobody saw, then or since."""
    unmeasured = (EventRow.cache_hit_tokens.is_(None), EventRow.status == UNMETERED)
    return (EventRow.completed_at > since, *unmeasured, ~is_superseded())


def estimated(connection: Connection, account: str, since: datetime) -> tuple[int, int]:
    """The input and output tokens that unmetered calls since an instant may have used, as far as that was estimated."""
    query = select(EventRow.detail).where(EventRow.account == account, *unmetered_since(since))
    tokens = [0, 0]
    for detail in connection.scalars(query.execution_options(yield_per=1_000)):
        said = detail.get("estimate")
        for place, name in enumerate(("input_tokens", "output_tokens")):
            count = said.get(name) if isinstance(said, dict) else None
            tokens[place] += count if type(count) is int and count > 0 else 0
    return tokens[0], tokens[1]


def _measured(connection: Connection, names: Sequence[str], now: datetime) -> dict[str, int]:
    """The measured and posted calls of the last 24 hours, to a quarter of an hour."""
    if not names:
        return {}
    since = now - DAY
    query = select(QuarterRow.account, func.sum(QuarterRow.calls)).group_by(QuarterRow.account)
    query = query.where(among(connection, QuarterRow.account, names))
    query = query.where(QuarterRow.billing_month >= f"{since - DAY:%Y-%m}")
    query = query.where(QuarterRow.quarter >= quarter_of(since))
    return {name: int(calls) for name, calls in connection.execute(query)}


def _differing(connection: Connection, names: Sequence[str], now: datetime) -> dict[str, Differing]:
    query = select(ObservationRow.account).distinct().where(ObservationRow.status == OPEN)
    found = {}
    for name in connection.scalars(query.where(among(connection, ObservationRow.account, names))):
        if differences := observations.open_differences(connection, name, now):
            newest = differences[-1]
            parts = newest.difference
            found[name] = Differing(len(differences), newest.number, newest.observed_at, parts.granted, parts.topped_up)
    return found


def waiting(connection: Connection, names: Sequence[str] | None) -> dict[str, Waiting]:
    """The calls of these accounts, or of all, that wait for their charge, and when the first of them was received.

    Keys are in order of arrival.
    """
    count, first = func.count().label("calls"), func.min(PendingRow.event_key).label("first")
    oldest = select(PendingRow.account, count, first)
    if names is not None:
        oldest = oldest.where(among(connection, PendingRow.account, names))
    by_account = oldest.group_by(PendingRow.account).subquery()
    key = and_(PendingRow.account == by_account.c.account, PendingRow.event_key == by_account.c.first)
    query = select(PendingRow.account, by_account.c.calls, EventRow.received_at)
    query = query.join(by_account, key).join(EventRow, of_one_event(EventRow, PendingRow))
    return {name: Waiting(calls, since) for name, calls, since in connection.execute(query)}


def _frozen_for(connection: Connection, account: Account) -> str:
    """Why an account is frozen; empty where it is not."""
    if account.frozen_at is None:
        return ""
    return [one.reason for one in freezes.of_account(connection, account.account) if one.kind == FROZEN][-1]
