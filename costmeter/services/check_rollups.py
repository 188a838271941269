"""Promise 6 for rollups: what is kept of an account's charges equals what the journal and the charges say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, select

from costmeter.core.ledger import GRANTED, OVERDRAFT, TOPPED_UP, UNTRACKED, USAGE_COST
from costmeter.store import freezes, rollups
from costmeter.store.accounts import Account
from costmeter.store.checkpoints import START
from costmeter.store.rollups import SUMS, Slot
from costmeter.store.tables import DayRow, EntryRow, LineRow, MonthRow, QuarterRow
from costmeter.store.types import join_halves, sum_halves

# Which journal account says what a rollup's amount must be, and by which sign.
_JOURNAL = {"cost": (USAGE_COST, 1), "granted": (GRANTED, -1), "topped_up": (TOPPED_UP, -1)}
_JOURNAL |= {"overdraft": (OVERDRAFT, -1), "untracked": (UNTRACKED, -1)}
Sums = Sequence[int | None]
Row = tuple[Slot, Sums]
_BOOKED = (
    select(EntryRow.billing_month, LineRow.journal_account, *sum_halves(LineRow.amount))
    .join(LineRow, and_(LineRow.account == EntryRow.account, LineRow.seq == EntryRow.seq))
    .where(EntryRow.account == bindparam("of_account"), EntryRow.kind.in_(("charges", "fold")))
    .group_by(EntryRow.billing_month, LineRow.journal_account)
)


def rollup_findings(connection: Connection, account: Account, *, full: bool) -> Iterator[str]:
    """What of an account's rollups is not so: their months by the journal, and in a full run each row by the charges.

    Rollups that are not kept up to the account's version are read by nobody, and not looked at. Those of an account
    that was released are those of its charges, which need not agree with its journal: a full run tells it.
    """
    is_answered_for = freezes.released_state(connection, account.account) != START
    if account.rolled_up != account.version or (is_answered_for and not full):
        return
    journal = _journal(connection, account.account)
    for table in rollups.TABLES:
        kept = _months(connection, table, account.account)
        for month in sorted(journal.keys() | kept.keys()):
            for name, amount in kept.get(month, dict.fromkeys(_JOURNAL, 0)).items():
                if amount != (booked := journal.get(month, {}).get(name, 0)):
                    yield f"{table.__tablename__} has {name} {amount} in {month}, the journal {booked}"
    if full:
        for month in rollups.months(connection, account.account):
            yield from _rows_that_differ(connection, account, month)


def _rows_that_differ(connection: Connection, account: Account, month: str) -> Iterator[str]:
    days: dict[Slot, list[int]] = {}

    def quarters() -> Iterator[tuple[Slot, list[int]]]:
        for slot, sums in rollups.of_charges(connection, account.account, month):
            rollups.add_to_day(days, slot, sums, account.timezone)
            yield slot, sums[: len(SUMS)]

    kept = rollups.kept(connection, QuarterRow, account.account, month)
    yield from _differences(QuarterRow.__tablename__, kept, quarters())
    kept = rollups.kept(connection, DayRow, account.account, month)
    yield from _differences(DayRow.__tablename__, kept, sorted(days.items()))
    kept = rollups.kept(connection, MonthRow, account.account, month)
    months = ((slot, sums[: len(SUMS)]) for slot, sums in rollups.by_month(days).items())
    yield from _differences(MonthRow.__tablename__, kept, months)


def _differences(name: str, kept: Iterable[Row], fresh: Iterable[Row]) -> Iterator[str]:
    """What differs between two rollups that both come in order of time; what a row does not have is not compared."""
    rows = merge(_of_side(0, kept), _of_side(1, fresh), key=itemgetter(0))
    for _, found in groupby(rows, key=itemgetter(0)):
        at_once: tuple[dict[Slot, Sums], dict[Slot, Sums]] = ({}, {})
        for _, side, slot, sums in found:
            at_once[side][slot] = sums
        for slot in sorted(at_once[0].keys() | at_once[1].keys()):
            is_kept, must_be = (one.get(slot) for one in at_once)
            if not _same(is_kept, must_be):
                yield f"{name} has {is_kept} in {tuple(slot)}, its charges give {must_be}"


def _same(kept: Sums | None, must_be: Sums | None) -> bool:
    if kept is None or must_be is None:
        return kept is must_be
    return all(one is None or one == other for one, other in zip(kept, must_be, strict=True))


def _of_side(side: int, rows: Iterable[Row]) -> Iterator[tuple[int | str, int, Slot, Sums]]:
    return ((slot.at, side, slot, sums) for slot, sums in rows)


def _months(connection: Connection, table: rollups.Table, account: str) -> dict[str, dict[str, int]]:
    """Amounts by billing month, as a rollup has them."""
    return {
        month: {name: join_halves(*halves[2 * number : 2 * number + 2]) for number, name in enumerate(_JOURNAL)}
        for month, *halves in connection.execute(_sums_by_month(table), {"of_account": account})
    }


@cache
def _sums_by_month(table: rollups.Table) -> Select[*tuple[Any, ...]]:
    halves = [func.sum(getattr(table, f"{name}_{half}")) for name in _JOURNAL for half in ("high", "low")]
    query = select(table.billing_month, *halves).where(table.account == bindparam("of_account"))
    return query.group_by(table.billing_month)


def _journal(connection: Connection, account: str) -> dict[str, dict[str, int]]:
    """Amounts by billing month, as the journal's entries of charges have them."""
    names = {line: (name, sign) for name, (line, sign) in _JOURNAL.items()}
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for month, line, high, low in connection.execute(_BOOKED, {"of_account": account}):
        name, sign = names[line]
        found[month][name] = sign * join_halves(high, low)
    return found
