"""What the calls that a budget counts came to, by quarter hour: from rollups where they can tell, else from charges."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, func, select

from costmeter.core.budgets import TOKENS, Budget
from costmeter.core.periods import quarter_of
from costmeter.store.accounts import Account
from costmeter.store.events import of_one_event
from costmeter.store.rollups import quarter
from costmeter.store.scope import dimension
from costmeter.store.tables import ChargeRow, EventRow, QuarterRow
from costmeter.store.types import join_halves, sum_halves

ROLLED_UP = frozenset(("project", "api_key", "model"))  # what rollups tell calls apart by


def by_quarter(connection: Connection, account: Account, budget: Budget) -> dict[int, int]:
    """The sums from the budget's start to its end, in its unit, by the quarter hour counted since 1970."""
    if budget.filters.keys() <= ROLLED_UP and account.rolled_up == account.version:
        return _of_rollup(connection, account.account, budget)
    return of_charges(connection, account.account, budget)


def of_charges(connection: Connection, account: str, budget: Budget) -> dict[int, int]:
    """The same by the charges themselves."""
    at = quarter(connection.dialect.name).label("at")
    used = EventRow.cache_hit_tokens + EventRow.cache_miss_tokens + EventRow.output_tokens
    amount = used * ChargeRow.sign if budget.unit == TOKENS else ChargeRow.cost
    where: list[ColumnElement[bool]] = [ChargeRow.account == account, ChargeRow.completed_at >= budget.starts_at]
    if budget.ends_at is not None:
        where.append(ChargeRow.completed_at < budget.ends_at)
    where += [dimension(key) == value for key, value in budget.filters.items()]
    query = select(at, *sum_halves(amount)).join(EventRow, of_one_event(ChargeRow, EventRow)).where(*where)
    return _read(connection, query.group_by(at))


def _of_rollup(connection: Connection, account: str, budget: Budget) -> dict[int, int]:
    if budget.unit == TOKENS:
        used = QuarterRow.cache_hit_tokens + QuarterRow.cache_miss_tokens + QuarterRow.output_tokens
        sums = sum_halves(used)
    else:
        sums = (
            func.sum(QuarterRow.cost_high, type_=BigInteger),
            func.sum(QuarterRow.cost_low, type_=BigInteger),
        )
    first = quarter_of(budget.starts_at)
    where: list[ColumnElement[bool]] = [QuarterRow.account == account, QuarterRow.quarter >= first]
    if budget.ends_at is not None:
        where.append(QuarterRow.quarter < quarter_of(budget.ends_at))
    where += [getattr(QuarterRow, key) == value for key, value in budget.filters.items()]
    return _read(connection, select(QuarterRow.quarter, *sums).where(*where).group_by(QuarterRow.quarter))


def _read(connection: Connection, query: Any) -> dict[int, int]:
    return {int(at): join_halves(high, low) for at, high, low in connection.execute(query)}
