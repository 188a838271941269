"""Spend explored: one metric of the spend report, by up to three dimensions, in an order; of many rows the first ones.

Every number is the spend report's. What is not among the first rows is summed beside them, and the CSV has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, TextIO

from sqlalchemy import Connection, select

from costmeter.core.errors import InputError
from costmeter.core.lessons import percent
from costmeter.core.periods import parse_instant
from costmeter.reports.explore_chart import HITS, TIMES, chart_shape
from costmeter.reports.spend import MEASURES, check_dimensions, row_shape, spend_report
from costmeter.store.accounts import Account
from costmeter.store.scope import Scope
from costmeter.store.sums import rollup_for
from costmeter.store.tables import EventRow

METRICS = (*MEASURES, HITS)
MOST_BY = 3  # dimensions
ROWS = 200  # that are told one by one
_SUMMED = (*MEASURES, "unpriced")
_LATEST = 300  # calls of an account that are looked at for names of tags
_FEW = 5  # accounts that are looked at so


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: of which calls, by which dimensions, on which clock, which metric, and in which order.

    `sort` is one of METRICS or `by`, with a minus before it the largest first.
    """

    scope: Scope
    by: tuple[str, ...]
    timezone: str
    metric: str
    sort: str

    @classmethod
    def checked(
        cls, scope: Scope, *, by: Sequence[str], timezone: str, metric: str = "cost", sort: str | None = None
    ) -> Question:
        """A question whose words are known; without `sort` the newest come first, or where no time is asked for the
        largest. Raises InputError by the name of the word."""
        check_dimensions(by)
        if not 1 <= len(by) <= MOST_BY:
            raise InputError("by", ",".join(by), f"choose one to {MOST_BY} dimensions")
        if metric not in METRICS:
            raise InputError("metric", metric, f"use one of {', '.join(METRICS)}")
        usual = next((name for name in by if name in TIMES), metric)
        sort = sort or f"-{usual}"
        if sort.removeprefix("-") not in (*METRICS, *by):
            raise InputError("sort", sort, f"use one of {', '.join((*by, *METRICS))}, with - before it for the largest")
        return cls(scope, tuple(by), timezone, metric, sort)


def explore_report(connection: Connection, question: Question, now: datetime) -> dict[str, Any]:
    """The spend report of a question, its rows in their order, and what a chart of its metric shows.

    `rows` are the first ROWS, `rest` is the sum of the others or null. `reads_calls` says that no sums that are kept
    answer this, so that it takes longer with more calls.
    """
    scope, by = question.scope, question.by
    in_scope = scope.accounts(connection)
    report = spend_report(connection, scope, by=by, timezone=question.timezone)
    records = report.records()
    rows = [records[place] for place in _order(records, question)]
    told, rest = rows[:ROWS], rows[ROWS:]
    return {
        "timezone": report.timezone,
        "currency": report.currency,
        "by": list(by),
        "metric": question.metric,
        "sort": question.sort,
        "accounts": len(in_scope),
        "rows": [_row(row) for row in told],
        "rest": {"rows": len(rest), **_row(_sum(rest))} if rest else None,
        "totals": _row(report.totals),
        "reads_calls": rollup_for(scope, in_scope, by, question.timezone) is None,
        "chart": chart_shape(rows, by, question.metric, interval=report.interval, timezone=question.timezone, now=now),
    }


def explore_csv(connection: Connection, question: Question, out: TextIO) -> None:
    """All rows of a question as CSV, in their order and with the columns of the spend report; guarded for spreadsheets.

    Amounts are exact. It is what `report --format csv` writes, but for the order and the guard.
    """
    report = spend_report(connection, question.scope, by=question.by, timezone=question.timezone)
    rows = report.rows.iloc[_order(report.records(), question)]
    replace(report, rows=rows).to_csv(out, guard=True)


def tag_names(connection: Connection, in_scope: Sequence[Account], project: str | None) -> list[str]:
    """Names of tags that the latest calls of some accounts have: what one may ask for by `tag:NAME`."""
    found: set[str] = set()
    for one in in_scope[:_FEW]:
        where = [EventRow.account == one.account, *([] if project is None else [EventRow.project == project])]
        latest = select(EventRow.tags).where(*where).order_by(EventRow.event_key.desc()).limit(_LATEST)
        found |= {name for tags in connection.scalars(latest) for name in tags}
    return sorted(found)


def _order(records: Sequence[Mapping[str, Any]], question: Question) -> list[int]:
    """The places of the rows as they are told: by what is asked for, then the largest first, then by name."""
    by, column = question.by, question.sort.removeprefix("-")
    ranks = {name: _ranks(records, name) for name in {*by, question.metric, column}}
    order = sorted(range(len(records)), key=lambda place: [ranks[name][place] for name in by])
    order.sort(key=ranks[question.metric].__getitem__, reverse=True)
    order.sort(key=ranks[column].__getitem__, reverse=question.sort.startswith("-"))
    return order


def _ranks(records: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """What rows are ordered by; what one does not have comes before all that it could have."""
    if name == HITS:
        shares = map(_hits_of, records)
        return [Fraction(hits, whole) if whole > 0 else Fraction(-1) for hits, whole in shares]
    values = [row[name] for row in records]
    if name == "hour":
        instants = {text: parse_instant(text) for text in {*values}}
        return [instants[text] for text in values]
    return values if name in MEASURES else ["" if text is None else text for text in values]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row_shape(row), HITS: _hits(row)}


def _sum(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in _SUMMED}


def _hits(row: Mapping[str, Any]) -> str | None:
    """The share of the input that came from the cache, as the lessons of a month have it."""
    return percent(*_hits_of(row))


def _hits_of(row: Mapping[str, Any]) -> tuple[int, int]:
    hits: int = row["cache_hit_tokens"]
    return hits, hits + row["cache_miss_tokens"]
