"""The price book: every tariff as dated data, and the rate list in force at an instant.

A tariff holds rates per band and currency for a period; windows say when a band applies, each in the vendor's own
time zone, possibly over midnight, on some weekdays, outside public holidays. `PriceBook.step_at` answers by bisecting
a compiled step function; `Tariff.band_at` answers by the rule itself. A property test holds the two equal.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import MICROSECOND, Period

CACHE_HIT = "input.cache_hit"
CACHE_MISS = "input.cache_miss"
OUTPUT = "output"
TOKEN_METERS = (CACHE_HIT, CACHE_MISS, OUTPUT)
FLAT = "flat"  # the band of a tariff whose price does not depend on the time
YEARS_AHEAD = 2  # how far beyond the last published calendar the step function is compiled; later: by the rule

_DAY = timedelta(days=1)


class Meter(NamedTuple):
    """What is counted: its unit, and how many of them a printed rate is for."""

    name: str
    unit: str
    per: int


class Rate(NamedTuple):
    """The price of a meter as the vendor prints it, and of one unit in units of 10^-12."""

    meter: Meter
    text: str
    units: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """Public holidays, known from `published.start` to `published.end` (dates of `zone`)."""

    name: str
    zone: ZoneInfo
    published_from: date
    published_to: date
    days_off: frozenset[date]
    source: str


@dataclass(frozen=True, slots=True)
class Window:
    """A daily stretch [start, end) of local time in which a band applies; end <= start runs over midnight.

    Weekday and holiday are those of the day on which the window begins.
    """

    band: str
    start: time
    end: time
    zone: ZoneInfo
    days: frozenset[int]
    calendar: Calendar | None = None

    def opens_on(self, day: date) -> bool:
        return day.weekday() in self.days and not (self.calendar and day in self.calendar.days_off)

    def contains(self, instant: datetime) -> bool:
        local = instant.astimezone(self.zone)
        clock, day = local.time(), local.date()
        if self.start < self.end:
            return self.start <= clock < self.end and self.opens_on(day)
        return (clock >= self.start and self.opens_on(day)) or (clock < self.end and self.opens_on(day - _DAY))

    def edges_on(self, day: date) -> set[datetime]:
        """When the clock reads start or end on a day: twice each where it is put back over them."""
        clocks = (self.start, self.end, self.start.replace(fold=1), self.end.replace(fold=1))
        return {datetime.combine(day, clock, self.zone).astimezone(UTC) for clock in clocks}


@dataclass(frozen=True, slots=True)
class RateList:
    """The rates of a tariff in one currency: band -> meter -> rate, with their own source and confidence."""

    currency: str
    bands: Mapping[str, Mapping[str, Rate]]
    source: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Tariff:
    """The rates of one model for one period, and the windows in which its bands apply."""

    tariff_id: str
    model: str
    period: Period
    basis: Literal["completion", "start"]
    band: str
    windows: tuple[Window, ...]
    rates: Mapping[str, RateList]
    source: str
    checked: date
    confidence: str
    doubt: str | None = None

    def band_at(self, instant: datetime) -> str:
        """The band at an instant, by the rule itself."""
        return next((window.band for window in self.windows if window.contains(instant)), self.band)

    def provisional_at(self, instant: datetime) -> bool:
        """Whether a calendar that this tariff depends on is not yet published for that day."""
        calendars = {window.calendar for window in self.windows if window.calendar is not None}
        return any(not c.published_from <= instant.astimezone(c.zone).date() < c.published_to for c in calendars)


class OutputLimit(NamedTuple):
    """The most tokens that an answer of a model can have during a period, reasoning included."""

    model: str
    period: Period
    tokens: int
    source: str
    checked: date
    confidence: str
    doubt: str | None = None


class Step(NamedTuple):
    """What is in force between two edges: tariff, band, and the three token rates (None where none is listed)."""

    tariff: Tariff
    band: str
    provisional: bool
    currency: str
    cache_hit: int | None
    cache_miss: int | None
    output: int | None
    safe_tokens: int  # up to so many tokens in all, no amount of a charge can pass 64 bits in any band
    dearest: tuple[tuple[int, ...], ...]  # token rates (0: none listed) of each band that can be the tariff's dearest

    @property
    def rates(self) -> Mapping[str, Rate]:
        return self.tariff.rates[self.currency].bands[self.band]


class Span(NamedTuple):
    """What a name that callers use stands for during a period."""

    model: str
    period: Period


@dataclass(frozen=True, slots=True)
class Name:
    """A model name as callers write it, and what it meant when; `retired` explains why it ends."""

    name: str
    spans: tuple[Span, ...]
    source: str
    retired: str | None = None
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A step function of time: steps[i] holds from edges[i-1] up to edges[i]; None is no price."""

    edges: tuple[datetime, ...]
    steps: tuple[Step | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PriceBook:
    """What one edition says; `edition` is the SHA-256 of `text`, from which it was read."""

    tariffs: tuple[Tariff, ...]
    names: Mapping[str, Name]
    meters: Mapping[str, Meter]
    calendars: Mapping[str, Calendar]
    edition: str
    text: str
    horizon: datetime
    limits: tuple[OutputLimit, ...] = ()
    _timelines: dict[tuple[str, str], Timeline] = field(default_factory=dict, repr=False, compare=False)

    def step_at(self, name: str, currency: str, instant: datetime) -> Step | None:
        """What is in force for a name in a currency at an instant; None where there is no price."""
        if instant >= self.horizon:
            return self.rule_at(name, currency, instant)
        timeline = self._timelines.get((name, currency))
        if timeline is None:
            timeline = self.timeline(name, currency)
        return timeline.steps[bisect_right(timeline.edges, instant)]

    def steps_between(
        self, name: str, currency: str, start: datetime, end: datetime
    ) -> tuple[tuple[datetime, ...], tuple[Step | None, ...]]:
        """The edges after `start` and up to `end`, and the steps before, between and after them."""
        timeline = self.timeline(name, currency) if end < self.horizon else self._beyond(name, currency, start, end)
        edges = timeline.edges
        first = last = bisect_right(edges, start)
        while last < len(edges) and edges[last] <= end:
            last += 1
        return edges[first:last], timeline.steps[first : last + 1]

    def rule_at(self, name: str, currency: str, instant: datetime) -> Step | None:
        """The same answer by the rule, without the compiled step function."""
        for tariff, period in self.tariffs_of(name):
            if instant in period:
                return _step(tariff, currency, tariff.band_at(instant), tariff.provisional_at(instant))
        return None

    def tariffs_of(self, name: str) -> Iterator[tuple[Tariff, Period]]:
        """The tariffs that a name was ever billed by, each with the period in which it was."""
        known = self.names.get(name)
        for span in known.spans if known else ():
            for tariff in self.tariffs:
                if tariff.model == span.model and (shared := overlap(tariff.period, span.period)):
                    yield tariff, shared

    def timeline(self, name: str, currency: str) -> Timeline:
        """The compiled step function of a name in a currency, up to the book's horizon."""
        if name not in self.names:
            return Timeline((), (None,))  # not kept: callers may send any number of unknown names
        key = (name, currency)
        if key not in self._timelines:
            self._timelines[key] = _compile(self.tariffs_of(name), currency, self.horizon)
        return self._timelines[key]

    def _beyond(self, name: str, currency: str, start: datetime, end: datetime) -> Timeline:
        """The step function of so short a time that it can be compiled beyond the horizon."""
        around = Period(start, end + MICROSECOND)
        parts = ((tariff, overlap(period, around)) for tariff, period in self.tariffs_of(name))
        return _compile(((tariff, shared) for tariff, shared in parts if shared), currency, end + MICROSECOND)


def overlap(first: Period, second: Period) -> Period | None:
    """The instants that two periods share."""
    starts = [p.start for p in (first, second) if p.start is not None]
    ends = [p.end for p in (first, second) if p.end is not None]
    shared = Period(max(starts, default=None), min(ends, default=None))
    return None if shared.start and shared.end and shared.start >= shared.end else shared


def _step(tariff: Tariff, currency: str, band: str, provisional: bool) -> Step | None:
    rate_list = tariff.rates.get(currency)
    if rate_list is None:
        return None
    rates = rate_list.bands[band]
    hit, miss, output = (rates[m].units if m in rates else None for m in TOKEN_METERS)
    dearest = max(rate.units for listed in rate_list.bands.values() for rate in listed.values())
    bands = tuple(
        tuple(listed[m].units if m in listed else 0 for m in TOKEN_METERS) for listed in rate_list.bands.values()
    )
    safe = MAX_AMOUNT // max(dearest, 1)
    return Step(tariff, band, provisional, currency, hit, miss, output, safe, _undominated(bands))


def _undominated(bands: Iterable[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """The bands without those that another one passes or equals in every meter; nearly always one is left."""
    different = dict.fromkeys(bands)
    return tuple(
        band
        for band in different
        if not any(all(a <= b for a, b in zip(band, other, strict=True)) for other in different if other != band)
    )


def _compile(tariffs: Iterable[tuple[Tariff, Period]], currency: str, horizon: datetime) -> Timeline:
    """Every edge at which anything may change, and what holds after it, by the rule at the edge itself."""
    parts = sorted(tariffs, key=lambda part: part[1].start or datetime.min.replace(tzinfo=UTC))
    edges: list[datetime] = []
    steps: list[Step | None] = [None]
    if parts and parts[0][1].start is None:
        first = parts[0][0]
        steps = [_step(first, currency, first.band, False)]
    memo: dict[tuple[str, str, bool], Step | None] = {}
    for tariff, period in parts:
        for edge in _edges(tariff, period, horizon):
            state = (tariff.tariff_id, tariff.band_at(edge), tariff.provisional_at(edge))
            step = memo.setdefault(state, _step(tariff, currency, *state[1:]))
            if step is not steps[-1]:
                edges.append(edge)
                steps.append(step)
        if period.end is not None and period.end < horizon:
            edges.append(period.end)
            steps.append(None)
    return _without_empty_steps(edges, steps)


def _edges(tariff: Tariff, period: Period, horizon: datetime) -> list[datetime]:
    """The instants in a period, its start included, at which the tariff's band or certainty may change."""
    if period.start is None:
        return []  # a tariff open at its start has no windows: the reader refuses it otherwise
    end = min(period.end or horizon, horizon)
    found = {period.start}
    for zone in {window.zone for window in tariff.windows}:
        found.update(_clock_changes(zone, period.start, end))
    for window in tariff.windows:
        day = period.start.astimezone(window.zone).date() - _DAY
        last = end.astimezone(window.zone).date()
        while day <= last:
            found.update(window.edges_on(day))
            day += _DAY
        if window.calendar:
            zone = window.calendar.zone
            for edge in (window.calendar.published_from, window.calendar.published_to):
                found.add(datetime.combine(edge, time(), zone).astimezone(UTC))
    return sorted(edge for edge in found if period.start <= edge < end)


def _clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """The instants at which the zone's clock is put forward or back (at most once a day, at a whole second)."""

    def offset(second: int) -> timedelta | None:
        return (day + timedelta(seconds=second)).astimezone(zone).utcoffset()

    day = start.replace(microsecond=0)
    while day < end:
        before = offset(0)
        if offset(86_400) != before:
            seconds = range(86_400)
            yield day + timedelta(seconds=bisect_right(seconds, False, key=lambda second: offset(second) != before))
        day += _DAY


def _without_empty_steps(edges: list[datetime], steps: list[Step | None]) -> Timeline:
    """Where one tariff ends at the instant at which the next begins, only the next one's step stays."""
    kept_edges: list[datetime] = []
    kept_steps = [steps[0]]
    for edge, step in zip(edges, steps[1:], strict=True):
        if kept_edges and kept_edges[-1] == edge:
            kept_steps[-1] = step
        else:
            kept_edges.append(edge)
            kept_steps.append(step)
    return Timeline(tuple(kept_edges), tuple(kept_steps))
