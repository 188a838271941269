"""The sums that reports and exports show, read from the cheapest table that answers exactly.

Rollups by month answer for projects, keys, models and bands of billing months. Rollups by day answer for the same of
whole days of the accounts' time zone, and by such days. Rollups by quarter hour also answer for hours and for the days
of other zones. Users and tags, what was known at an instant, and intervals that cut a quarter hour are read from the
charges themselves, with their events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, or_, select

from costmeter.core.periods import QUARTER_MICROS, Period, from_micros, month_of, quarter_of, to_micros, zone
from costmeter.store.accounts import Account
from costmeter.store.events import of_one_event
from costmeter.store.rollups import SUMS, Table, charge_sums, exact_sums, grain, quarter, rollup_sums
from costmeter.store.scope import Scope, dimension
from costmeter.store.tables import ChargeRow, DayRow, EventRow, MonthRow, QuarterRow

CHUNK = 5_000
_TIMES = ("day", "hour")
_ROLLED_UP = frozenset(("account", "project", "api_key", "model", "band", "billing_month", *_TIMES))


def read_sums(
    connection: Connection,
    scope: Scope,
    in_scope: Sequence[Account],
    by: Sequence[str],
    timezone: str,
    *,
    sums: Sequence[str] = SUMS,
) -> Iterator[dict[str, Any]]:
    """A record of `by` and SUMS for each group, days and hours as texts of the time zone; one group may come in parts.

    Amounts are integers of 10^-12. Without `by` it is one record, of zeros where nothing is in scope. They are read as
    they are taken, in order of time where `by` begins with a day or hour. `sums` are those of SUMS that are wanted, in
    their order: few are read faster.
    """
    table = rollup_for(scope, in_scope, by, timezone)
    query = _of_charges(connection, scope, by, sums) if table is None else _of_rollup(table, scope, in_scope, by, sums)
    shown = [_shown_as(name, table, timezone) for name in by]
    for row in connection.execute(query, execution_options={"yield_per": CHUNK}):
        record: dict[str, Any] = {
            name: show(value) for name, show, value in zip(by, shown, row[: len(by)], strict=True)
        }
        record |= zip(sums, exact_sums(row[len(by) :], sums), strict=True)
        yield record


def rollup_for(scope: Scope, in_scope: Sequence[Account], by: Sequence[str], timezone: str) -> Table | None:
    """The rollup that answers, or None where only the charges do."""
    if scope.known_at is not None or {*by, *scope.where} - _ROLLED_UP:
        return None
    if any(account.rolled_up != account.version for account in in_scope):
        return None
    if scope.month is not None and {*by}.isdisjoint(_TIMES):
        return MonthRow
    zones = {account.timezone for account in in_scope}
    if "hour" not in by and ("day" not in by or zones <= {timezone}) and _cuts_no_day(scope.period, zones):
        return DayRow
    return QuarterRow if _cuts_no_quarter(scope.period) else None


def _cuts_no_day(period: Period | None, zones: set[str]) -> bool:
    return period is None or all(_is_midnight(edge, name) for edge in period for name in zones)


def _is_midnight(instant: datetime | None, zone_name: str) -> bool:
    """Whether a day of the zone begins at this instant: the one before has another date."""
    assert instant is not None
    local = instant.astimezone(zone(zone_name))
    return (local.hour, local.minute, local.second, local.microsecond, local.fold) == (0, 0, 0, 0, 0)


def _cuts_no_quarter(period: Period | None) -> bool:
    return period is None or all(edge and to_micros(edge) % QUARTER_MICROS == 0 for edge in period)


def _of_charges(connection: Connection, scope: Scope, by: Sequence[str], sums: Sequence[str]) -> Select[Any]:
    keys = [_of_charge(connection, name) for name in by]
    named: list[ColumnElement[Any]] = [key.label(f"by_{number}") for number, key in enumerate(keys)]
    query = select(*named, *charge_sums(sums)).join(EventRow, of_one_event(ChargeRow, EventRow))
    return _in_time(query.where(*scope.charges()).group_by(*named), by, named)


def _of_charge(connection: Connection, name: str) -> ColumnElement[Any]:
    if name in _TIMES:
        return quarter(connection.dialect.name)
    return ChargeRow.billing_month.expression if name == "billing_month" else dimension(name)


def _in_time(query: Select[Any], by: Sequence[str], named: Sequence[ColumnElement[Any]]) -> Select[Any]:
    return query.order_by(named[0]) if by and by[0] in _TIMES else query


def _of_rollup(
    table: Table, scope: Scope, in_scope: Sequence[Account], by: Sequence[str], sums: Sequence[str]
) -> Select[Any]:
    keys = [getattr(table, grain(table) if name in _TIMES else name) for name in by]
    named: list[ColumnElement[Any]] = [key.label(f"by_{number}") for number, key in enumerate(keys)]
    where = [getattr(table, key) == value if value else false() for key, value in scope.where.items()]
    if scope.month is not None:
        where += [*scope.owners(table.account), table.billing_month == scope.month]
    else:
        zones = sorted({account.timezone for account in in_scope})
        where.append(or_(false(), *(and_(*_between(table, scope, name)) for name in zones)))
    return _in_time(select(*named, *rollup_sums(table, sums)).where(*where).group_by(*named), by, named)


def _between(table: Table, scope: Scope, zone_name: str) -> list[ColumnElement[bool]]:
    """The condition that a row is of an account of this zone, and of the scope's interval."""
    assert scope.period is not None
    start, end = scope.period
    assert start is not None
    assert end is not None
    # A call is never booked before the month of its completion: this lets the key be used.
    where = [*scope.owners(table.account, zone_name), table.billing_month >= month_of(start, zone_name)]
    if table is QuarterRow:
        first, last = (quarter_of(edge) for edge in (start, end))
        return [*where, QuarterRow.quarter >= first, QuarterRow.quarter < last]
    days = [edge.astimezone(zone(zone_name)).date().isoformat() for edge in (start, end)]
    return [*where, DayRow.day >= days[0], DayRow.day < days[1]]


def _shown_as(name: str, table: Table | None, timezone: str) -> Callable[[Any], Any]:
    """How a key of a row is shown: a time as a text of the time zone, and what a call does not name as None."""
    if name not in _TIMES:
        return lambda text: text or None
    if table is DayRow:
        return lambda day: day
    tz = zone(timezone)
    if name == "day":
        return lambda number: from_micros(int(number) * QUARTER_MICROS).astimezone(tz).date().isoformat()
    return lambda number: hour_text(from_micros(int(number) * QUARTER_MICROS).astimezone(tz))


def hour_text(local: datetime) -> str:
    """The start of an instant's hour, as RFC 3339 with the offset of its zone."""
    return local.replace(minute=0, second=0, microsecond=0).isoformat().replace("+00:00", "Z")
