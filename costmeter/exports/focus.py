"""The FOCUS export: usage by day, project, key, model, band and meter in the format that cost tools share.

Accrual: usage costs what was charged, and a credit row takes off what granted balance paid. Prepaid: the top-up is the
purchase, and the usage that draws it down is billed 0. A file has one of the two, never both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import partial
from itertools import chain
from typing import Any

from sqlalchemy import Connection, func, select

from costmeter.core.errors import InputError
from costmeter.core.periods import day_period, month_period
from costmeter.exports.day_sums import Day, day_sums
from costmeter.exports.export import Export
from costmeter.exports.focus_credits import adjustment_cells, credit_cells, is_adjustment, is_purchase, purchase_cells
from costmeter.exports.focus_format import ALIKE, COLUMNS, Cells, Mode, Version
from costmeter.exports.focus_usage import AMOUNTS, KEYS, granted_by_month, usage_cells
from costmeter.exports.listed_prices import ListedPrices
from costmeter.exports.movements import movements
from costmeter.store.accounts import Account
from costmeter.store.events import of_one_event
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow, EventRow


def focus_export(version: Version = Version.V1_4, mode: Mode = Mode.ACCRUAL) -> Export:
    """The export in a version of FOCUS and a mode of billing; its scope is one billing month.

    Reading its rows raises CostmeterError where a charge is not its quantity at the listed rate.
    """
    what = "Cost and usage of a billing month as FOCUS has it, a row a day, project, key, model, band and meter."
    return Export("focus", COLUMNS[version], partial(_rows, version, mode), guarded=False, what=what)


def count_unpriced(connection: Connection, scope: Scope) -> int:
    """How many calls in scope have no price, and so no row: less those of closed months that have got one since."""
    query = select(func.sum(ChargeRow.sign)).join(EventRow, of_one_event(ChargeRow, EventRow))
    return connection.scalar(query.where(*scope.charges(), ChargeRow.status == "unpriced")) or 0


def _rows(version: Version, mode: Mode, connection: Connection, scope: Scope) -> Iterator[tuple[Any, ...]]:
    if scope.month is None:
        raise InputError("month", None, "a FOCUS file is of one billing month; give it")
    if mode is Mode.PREPAID and scope.where:
        given = ", ".join(f"{key}={value}" for key, value in scope.where.items())
        raise InputError("where", given, "top-ups are of whole accounts; leave it out, or use the accrual mode")
    days = day_sums(connection, scope, KEYS, AMOUNTS, at=ChargeRow.completed_at)
    names = [column.name for column in COLUMNS[version]]
    rows: Iterator[Cells] = _charged(connection, days, scope.month, mode)
    if not scope.where:  # what moves a balance is of the whole account
        rows = chain(rows, _moved(connection, scope, scope.month, mode))
    return (tuple([cells.get(name) for name in names]) for cells in rows)


def _charged(connection: Connection, days: Iterator[Day], month: str, mode: Mode) -> Iterator[Cells]:
    """Of each day the usage, then what granted balance paid of it."""
    prices = ListedPrices(connection)
    for day in days:
        billed = _billed(day.account, month, day.day)
        for cells in usage_cells(day, prices, mode):
            yield billed | cells
        for adjusts, granted in granted_by_month(day).items():
            yield billed | credit_cells(granted, adjusts, mode)


def _moved(connection: Connection, scope: Scope, month: str, mode: Mode) -> Iterator[Cells]:
    """What was bought, where that is billed, and how the balance was put right."""
    for movement in movements(connection, scope):
        billed = _billed(movement.account, month, movement.effective_on)
        if is_adjustment(movement):
            yield billed | adjustment_cells(movement, mode)
        elif mode is Mode.PREPAID and is_purchase(movement):
            yield billed | purchase_cells(movement)


def _billed(account: Account, month: str, day: date) -> Cells:
    """What a row says of its account, billing month and day."""
    period, charged = month_period(month, account.timezone), day_period(day, account.timezone)
    return ALIKE | {
        "BillingAccountId": account.account,
        "BillingAccountName": account.account,
        "BillingCurrency": account.currency,
        "BillingPeriodStart": period.start,
        "BillingPeriodEnd": period.end,
        "ChargePeriodStart": charged.start,
        "ChargePeriodEnd": charged.end,
    }
