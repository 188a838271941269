"""Reconcile an export of DeepSeek's console with what is recorded, over the export's own intervals."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection

from costmeter.core.console_export import REQUESTS, Interval, Refused, overlapping
from costmeter.core.errors import InputError
from costmeter.core.export_comparison import Amounts, Difference, compare
from costmeter.core.ledger import GRANTED
from costmeter.core.periods import MICROSECOND, Period
from costmeter.core.price_book import TOKEN_METERS
from costmeter.services.read_console import ReadFile
from costmeter.store import accounts, detached, evidence, imported
from costmeter.store.accounts import Account
from costmeter.store.evidence import Used
from costmeter.store.imported import ImportedCost, ImportedUsage
from costmeter.store.tables import ChargeRow


class Reconciled(NamedTuple):
    """What was compared, and where the two sides differ; rows that could not be read are in `refused`.

    `unmetered` is how many calls of that time have no tokens here, as nobody saw their usage; the vendor may have them.
    """

    account: Account
    intervals: list[Interval]
    differences: list[Difference]
    refused: tuple[Refused, ...]
    unmetered: int

    @property
    def agrees(self) -> bool:
        return not self.differences and not self.refused


def reconcile_export(connection: Connection, account: str, read: ReadFile) -> Reconciled:
    """The export against charges, and against what was imported, of calls completed in its intervals.

    InputError where the export is of another currency than the account, has no row to compare, or has intervals that
    overlap; DetachedError where calls of that time are detached.
    """
    found, export = accounts.get(connection, account), read.export
    intervals = export.intervals
    if other := [currency for currency in export.currencies if currency != found.currency]:
        raise InputError("currency", other[0], f"account {found.account!r} is kept in {found.currency}; choose another")
    if not intervals:
        raise InputError("file", read.name, "has no row to compare; export a time with calls")
    if overlaps := overlapping(intervals, []):
        one, another = next(iter(overlaps.items()))
        raise InputError("interval", str(one), f"overlaps {another}; compare days and hours one after the other")
    detached.refuse_period(connection, [found.account], Period(intervals[0].start, intervals[-1].end))
    _check_imported(connection, found.account, intervals)
    recorded = {}
    # Where the export has no row between two intervals, the vendor had no calls: we may.
    gaps = [Interval(one.end, other.start) for one, other in pairwise(intervals) if one.end < other.start]
    for interval in (*intervals, *gaps):
        for model, amounts in _recorded(connection, found.account, interval).items():
            recorded[interval, model] = amounts
    first, last = intervals[0].start - MICROSECOND, intervals[-1].end - MICROSECOND
    unmetered = len(evidence.unmetered(connection, found.account, first, last))
    return Reconciled(found, intervals, compare(export, recorded), export.refused, unmetered)


def _check_imported(connection: Connection, account: str, intervals: Sequence[Interval]) -> None:
    """Imported sums can be compared where they lie in one interval of the export."""
    ends = [interval.end for interval in intervals]
    for kept in imported.intervals(connection, account):
        place = bisect_right(ends, kept.start)  # the first that ends after it begins
        if place == len(intervals) or intervals[place].start >= kept.end:
            continue
        asked = intervals[place]
        if kept.start < asked.start or asked.end < kept.end:
            remedy = f"cuts {kept}, which was imported as one; compare an export of such intervals"
            raise InputError("interval", str(asked), remedy)


def _recorded(connection: Connection, account: str, interval: Interval) -> dict[str, Amounts]:
    """What is recorded or imported of each model in an interval."""
    within = (ChargeRow.completed_at >= interval.start, ChargeRow.completed_at < interval.end)
    used = evidence.used(connection, account, *within)
    usage = imported.usage_between(connection, account, interval)
    costs = imported.costs_between(connection, account, interval)
    models = {one.model for one in used} | {one.model for one in usage} | {cost.model for cost in costs}
    return {
        model: _amounts(
            [one for one in used if one.model == model],
            [one for one in usage if one.model == model],
            [cost for cost in costs if cost.model == model],
        )
        for model in models
    }


def _amounts(used: Iterable[Used], usage: Iterable[ImportedUsage], costs: Iterable[ImportedCost]) -> Amounts:
    meters: dict[str, dict[int | None, int]] = defaultdict(lambda: defaultdict(int))
    cost = granted = untracked = 0
    for one in used:
        meters[REQUESTS][None] += one.calls
        for meter, count, amount in zip(TOKEN_METERS, one.tokens, one.costs, strict=True):
            if count:
                meters[meter][None if one.tariff is None else amount // count] += count
        cost += sum(one.costs)
        granted += one.granted
        untracked += one.untracked
    for row in usage:
        meters[row.meter][row.price] += row.amount
    for paid in costs:
        cost += paid.cost
        granted += paid.cost if paid.wallet == GRANTED else 0
    return Amounts(meters, cost, None if untracked else granted)
