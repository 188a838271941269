"""What the charges of a billing month come to, by everything that a statement asks for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, func, null, select

from costmeter.core.statements import Usage
from costmeter.store.accounts import Account
from costmeter.store.events import of_one_event
from costmeter.store.rollups import DAY_SUMS, charge_sums, exact_sums, rollup_sums
from costmeter.store.tables import ChargeRow, DayRow, EventRow

_OF_CHARGES = (ChargeRow.adjusts, EventRow.project, EventRow.api_key, EventRow.model, ChargeRow.band)
_COMPLETED_IN = func.substr(DayRow.day, 1, 7)
_OF_DAYS = (
    case((DayRow.billing_month != _COMPLETED_IN, _COMPLETED_IN), else_=null()),  # what else was booked adjusts
    *(func.nullif(name, "") for name in (DayRow.project, DayRow.api_key, DayRow.model, DayRow.band)),
)


def usage_of_month(connection: Connection, account: Account, month: str) -> list[Usage]:
    """DAY_SUMS of a billing month, from the rollup by days where that has them all, else from the charges."""
    if account.rolled_up == account.version:
        rows = connection.execute(_of_days(), {"of_account": account.account, "in_month": month}).all()
        if not any(row[-1] for row in rows):
            return [_usage(row[:-1]) for row in rows]
    return usage_of_charges(connection, account.account, month)


def usage_of_charges(connection: Connection, account: str, month: str) -> list[Usage]:
    """The same from the charges themselves, which is what a month is closed with."""
    rows = connection.execute(_of_charges(), {"of_account": account, "in_month": month})
    return [_usage(row) for row in rows]


def _usage(row: Sequence[Any]) -> Usage:
    adjusts, project, api_key, model, band, *sums = row
    return Usage(adjusts, project, api_key, model, band, dict(zip(DAY_SUMS, exact_sums(sums, DAY_SUMS), strict=True)))


@cache
def _of_days() -> Select[*tuple[Any, ...]]:
    """With how many rows lack the cost of meters: those that were begun before migration 0013."""
    named = _named(_OF_DAYS)
    query = select(*named, *rollup_sums(DayRow, DAY_SUMS), func.count() - func.count(DayRow.cost_output_low))
    query = query.where(DayRow.account == bindparam("of_account"), DayRow.billing_month == bindparam("in_month"))
    return query.group_by(*named)


@cache
def _of_charges() -> Select[*tuple[Any, ...]]:
    named = _named(_OF_CHARGES)
    query = select(*named, *charge_sums(DAY_SUMS)).join(EventRow, of_one_event(ChargeRow, EventRow))
    query = query.where(ChargeRow.account == bindparam("of_account"), ChargeRow.billing_month == bindparam("in_month"))
    return query.group_by(*named)


def _named(keys: Sequence[Any]) -> list[ColumnElement[Any]]:
    return [key.label(f"key_{number}") for number, key in enumerate(keys)]
