"""The compiled step function says what the rule says at every instant, and the rule what the clock on the wall does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmeter.core.periods import EPOCH, MICROSECOND, Period, parse_instant, to_micros
from costmeter.core.price_book import PriceBook, Step, overlap
from costmeter.prices.read import WEEKDAYS, builtin_book
from tests.books import a_book, a_name, a_tariff

BOOK = builtin_book()
CURRENCIES = ("USD", "CNY", "EUR")
NAMES_AND_CURRENCIES = [(name, currency) for name in [*BOOK.names, "unknown"] for currency in CURRENCIES]
DAY = timedelta(days=1)
NEAR = (-MICROSECOND, timedelta(0), MICROSECOND)

named = st.sampled_from(NAMES_AND_CURRENCIES)
days = st.dates(date(2024, 7, 1), BOOK.horizon.date() + 400 * DAY)
instants = st.datetimes(datetime(2023, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(("name", "currency"), NAMES_AND_CURRENCIES)
def test_at_every_edge_and_a_microsecond_beside_it_the_steps_are_the_rule(name: str, currency: str) -> None:
    edges = [*BOOK.timeline(name, currency).edges, BOOK.horizon]
    for instant in (edge + apart for edge in edges for apart in NEAR):
        assert BOOK.step_at(name, currency, instant) == BOOK.rule_at(name, currency, instant), instant


@given(named, days)
def test_at_every_half_hour_of_any_day_the_steps_are_the_rule(named: tuple[str, str], day: date) -> None:
    """Half-hours of the day, since an edge that was left out is no edge of the timeline."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for instant in (midnight + half * timedelta(minutes=30) + apart for half in range(48) for apart in NEAR):
        assert BOOK.step_at(*named, instant) == BOOK.rule_at(*named, instant), instant


@given(named, instants)
def test_at_any_instant_the_steps_are_the_rule_beyond_the_horizon_too(
    named: tuple[str, str], instant: datetime
) -> None:
    assert BOOK.step_at(*named, instant) == BOOK.rule_at(*named, instant)


@pytest.mark.parametrize(("name", "currency"), NAMES_AND_CURRENCIES)
def test_a_timeline_is_ordered_and_changes_at_each_edge(name: str, currency: str) -> None:
    timeline = BOOK.timeline(name, currency)

    assert len(timeline.steps) == len(timeline.edges) + 1
    assert all(earlier < later for earlier, later in pairwise(timeline.edges))
    assert all(earlier is not later for earlier, later in pairwise(timeline.steps) if later is not None)
    assert all(edge < BOOK.horizon for edge in timeline.edges)


@given(named, st.lists(instants, min_size=1, max_size=200))
def test_numpy_finds_the_same_steps(named: tuple[str, str], at: list[datetime]) -> None:
    timeline = BOOK.timeline(*named)
    at += [edge + apart for edge in timeline.edges[:50] for apart in NEAR]
    at = [instant for instant in at if instant < BOOK.horizon]
    edges = np.array([to_micros(edge) for edge in timeline.edges], dtype=np.int64)

    places = np.searchsorted(edges, np.array([to_micros(instant) for instant in at], dtype=np.int64), side="right")

    assert [timeline.steps[place] for place in places.tolist()] == [BOOK.step_at(*named, instant) for instant in at]


def test_unknown_names_are_not_kept() -> None:
    book = a_book(a_tariff(), a_name())
    for number in range(100):
        assert book.step_at(f"nobody-{number}", "USD", EPOCH) is None
    assert len(book._timelines) == 0


# ------------------------------------------------------------------------------------- windows in any time zone

# Clocks put forward and back at 01:00 UTC, at 02:00 local time, by half an hour, at midnight, and never.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "Asia/Shanghai")
FROM, HORIZON = datetime(2025, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
BANDS = {band: {"output": str(price)} for price, band in enumerate(("base", "first", "second"), start=1)}


class Drawn(NamedTuple):
    """A window as a test draws it: minutes of the day and days by number."""

    band: str
    start: int
    end: int
    zone: str
    days: frozenset[int]
    holidays: bool

    def toml(self) -> str:
        clocks = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in (self.start, self.end)]
        weekdays = ", ".join(f'"{WEEKDAYS[day]}"' for day in sorted(self.days))
        calendar = ', holidays = "holidays"' if self.holidays else ""
        times = f'start = "{clocks[0]}", end = "{clocks[1]}", zone = "{self.zone}"'
        return f'{{ band = "{self.band}", {times}, days = [{weekdays}]{calendar} }}'

    def shows(self, instant: datetime) -> bool:
        """Whether a clock on the wall of the zone shows a time in the window, of a day on which it opens."""
        wall = instant.astimezone(ZoneInfo(self.zone))
        minute, day = wall.hour * 60 + wall.minute, wall.date()
        if self.start < self.end:
            is_inside = self.start <= minute < self.end
        else:
            is_inside = minute >= self.start or minute < self.end
            day = day if minute >= self.start else day - DAY
        day_off = self.holidays and (day.year, day.month, day.day) in {(2025, 5, 1), (2025, 12, 25), (2025, 12, 26)}
        return is_inside and day.weekday() in self.days and not day_off


@cache
def clock_changes(zone: str) -> list[datetime]:
    """Every quarter of an hour from FROM on at which the zone's clock is put forward or back."""
    quarters = [FROM + number * timedelta(minutes=15) for number in range(3 * 365 * 96)]
    offsets = [quarter.astimezone(ZoneInfo(zone)).utcoffset() for quarter in quarters]
    return [quarters[place] for place in range(1, len(quarters)) if offsets[place] != offsets[place - 1]]


# Small hours more often: that is when clocks change.
minutes = st.integers(0, 24 * 60 - 1) | st.integers(0, 4 * 60)
weekdays = st.just(frozenset(range(7))) | st.frozensets(st.integers(0, 6), min_size=1)


@st.composite
def windows(draw: st.DrawFn, band: str) -> Drawn:
    start = draw(minutes)
    end = draw(minutes.filter(lambda minute: minute != start))
    return Drawn(band, start, end, draw(st.sampled_from(ZONES)), draw(weekdays), draw(st.booleans()))


@settings(max_examples=60)
@given(windows("first"), windows("second"), st.data())
def test_the_steps_are_what_the_clock_on_the_wall_shows_even_where_it_is_put_forward_or_back(
    first: Drawn, second: Drawn, data: st.DataObject
) -> None:
    tariff = a_tariff(band="base", windows=[first.toml(), second.toml()], bands=BANDS)
    book = a_book(tariff, a_name())
    assert book.horizon == HORIZON
    changes = [change for drawn in (first, second) for change in clock_changes(drawn.zone)]
    holidays = [datetime(2025, 4, 30, 20, tzinfo=UTC), datetime(2025, 12, 24, 20, tzinfo=UTC)]
    around = data.draw(st.sampled_from([*changes, *holidays]) | st.datetimes(
        FROM.replace(tzinfo=None), HORIZON.replace(tzinfo=None), timezones=st.just(UTC)
    ))  # fmt: skip
    midday = around.replace(hour=12, minute=0, second=0, microsecond=0)

    for instant in (midday + minute * timedelta(minutes=1) for minute in range(-24 * 60, 24 * 60)):
        if instant < FROM:
            continue
        expected = "first" if first.shows(instant) else "second" if second.shows(instant) else "base"
        step = book.step_at("demo", "USD", instant)
        assert step is not None
        assert step.band == expected, instant
        assert step == book.rule_at("demo", "USD", instant)


@settings(max_examples=60)
@given(windows("first"), windows("second"))
def test_at_every_edge_of_any_windows_the_steps_are_the_rule(first: Drawn, second: Drawn) -> None:
    book = a_book(a_tariff(band="base", windows=[first.toml(), second.toml()], bands=BANDS), a_name())
    edges = book.timeline("demo", "USD").edges
    for edge in edges[:: max(1, len(edges) // 100)]:
        for apart in NEAR:
            assert book.step_at("demo", "USD", edge + apart) == book.rule_at("demo", "USD", edge + apart)


def bands_of(window: str, *at: str) -> list[str]:
    book = a_book(a_tariff(band="base", windows=[window], bands={k: BANDS[k] for k in ("base", "first")}), a_name())
    steps = [book.step_at("demo", "USD", parse_instant(instant)) for instant in at]
    return [step.band for step in steps if step is not None]


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    friday_night = '{ band = "first", start = "22:00", end = "06:00", zone = "UTC", days = ["fri"] }'
    assert bands_of(
        friday_night,
        "2025-03-07T05:59:59.999999Z",  # the morning of the Friday belongs to Thursday
        "2025-03-07T21:59:59.999999Z",
        "2025-03-07T22:00:00Z",
        "2025-03-08T00:00:00Z",
        "2025-03-08T05:59:59.999999Z",
        "2025-03-08T06:00:00Z",
        "2025-03-08T22:00:00Z",
    ) == ["base", "base", "first", "first", "first", "base", "base"]


def test_a_holiday_closes_the_window_that_begins_on_it_and_not_the_one_that_ends_on_it() -> None:
    every_night = '{ band = "first", start = "22:00", end = "06:00", zone = "Europe/Berlin", holidays = "holidays" }'
    assert bands_of(
        every_night,
        "2025-05-01T05:59:59+02:00",  # May Day's morning belongs to the night before
        "2025-05-01T22:00:00+02:00",
        "2025-05-02T05:59:59+02:00",
        "2025-05-02T22:00:00+02:00",
    ) == ["first", "base", "base", "first"]


def test_an_hour_that_the_clock_skips_is_in_no_window_and_one_that_it_shows_twice_is_in_it_twice() -> None:
    small_hours = '{ band = "first", start = "02:00", end = "03:00", zone = "Europe/Berlin" }'
    assert bands_of(
        small_hours,
        "2025-03-30T01:59:59+01:00",
        "2025-03-30T03:00:00+02:00",  # the next microsecond after 01:59:59.999999
        "2025-10-26T01:59:59+02:00",
        "2025-10-26T02:00:00+02:00",
        "2025-10-26T02:59:59+02:00",
        "2025-10-26T02:00:00+01:00",
        "2025-10-26T02:59:59+01:00",
        "2025-10-26T03:00:00+01:00",
    ) == ["base", "base", "base", "first", "first", "first", "first", "base"]


def test_a_window_that_ends_at_midnight_ends_with_its_day() -> None:
    evening = '{ band = "first", start = "18:00", end = "00:00", zone = "Asia/Shanghai", days = ["sun"] }'
    assert bands_of(
        evening,
        "2025-03-09T17:59:59.999999+08:00",
        "2025-03-09T18:00:00+08:00",
        "2025-03-09T23:59:59.999999+08:00",
        "2025-03-10T00:00:00+08:00",
    ) == ["base", "first", "first", "base"]


def test_the_first_of_two_windows_that_overlap_counts() -> None:
    windows = [
        f'{{ band = "{band}", start = "{start}", end = "12:00", zone = "UTC" }}'
        for band, start in (("first", "10:00"), ("second", "08:00"))
    ]
    book = a_book(a_tariff(band="base", windows=windows, bands=BANDS), a_name())
    steps = [book.step_at("demo", "USD", datetime(2025, 3, 1, hour, tzinfo=UTC)) for hour in (7, 8, 10, 12)]
    assert [step.band for step in steps if step] == ["base", "second", "first", "base"]


@pytest.mark.parametrize(
    ("instant", "is_provisional"),
    [
        ("2025-01-01T00:00:00+01:00", False),
        ("2025-12-31T23:59:59.999999+01:00", False),
        ("2026-01-01T00:00:00+01:00", True),
        ("2027-06-01T12:00:00Z", True),
        ("2030-06-01T12:00:00Z", True),
    ],
)
def test_a_price_is_provisional_on_days_that_the_calendar_does_not_cover_yet(
    instant: str, is_provisional: bool
) -> None:
    window = '{ band = "first", start = "08:00", end = "10:00", zone = "UTC", holidays = "holidays" }'
    tariff = a_tariff(
        start="2024-01-01T00:00:00Z", band="base", windows=[window], bands={k: BANDS[k] for k in ("base", "first")}
    )
    book = a_book(tariff, a_name())
    for step in (step_of(book, instant), book.rule_at("demo", "USD", parse_instant(instant))):
        assert step is not None
        assert step.provisional is is_provisional


def test_a_price_without_a_calendar_is_never_provisional() -> None:
    step = step_of(a_book(a_tariff(), a_name()), "2035-01-01T00:00:00Z")
    assert step is not None
    assert not step.provisional


def step_of(book: PriceBook, instant: str, name: str = "demo", currency: str = "USD") -> Step | None:
    return book.step_at(name, currency, parse_instant(instant))


def test_between_two_tariffs_and_outside_of_a_name_there_is_no_price() -> None:
    book = a_book(
        a_tariff("demo/1", end="2025-02-01T00:00:00Z"),
        a_tariff("demo/2", start="2025-03-01T00:00:00Z"),
        a_name("demo", '{ model = "demo", to = 2025-04-01T00:00:00Z }'),
    )
    found = [
        None if (step := step_of(book, instant)) is None else step.tariff.tariff_id
        for instant in (
            "2024-12-31T23:59:59.999999Z",
            "2025-01-01T00:00:00Z",
            "2025-01-31T23:59:59.999999Z",
            "2025-02-01T00:00:00Z",
            "2025-02-28T23:59:59.999999Z",
            "2025-03-01T00:00:00Z",
            "2025-03-31T23:59:59.999999Z",
            "2025-04-01T00:00:00Z",
        )
    ]
    assert found == [None, "demo/1", "demo/1", None, None, "demo/2", "demo/2", None]
    assert step_of(book, "2025-03-15T00:00:00Z", currency="CNY") is None


def test_a_name_can_pass_from_model_to_model_in_the_middle_of_their_tariffs() -> None:
    book = a_book(
        a_tariff("old/1", model="old", start=None, end="2026-01-01T00:00:00Z"),
        a_tariff("new/1", model="new", start="2025-01-01T00:00:00Z"),
        a_name("demo", '{ model = "old", to = 2025-06-01T00:00:00Z }, { model = "new", from = 2025-06-01T00:00:00Z }'),
    )
    for instant, tariff_id in (
        ("1990-01-01T00:00:00Z", "old/1"),
        ("2025-05-31T23:59:59.999999Z", "old/1"),
        ("2025-06-01T00:00:00Z", "new/1"),
        ("2040-06-01T00:00:00Z", "new/1"),
    ):
        step = step_of(book, instant)
        assert step is not None
        assert step.tariff.tariff_id == tariff_id


moments = st.none() | st.integers(0, 9).map(lambda day: EPOCH + day * DAY)
periods = st.tuples(moments, moments).filter(lambda p: not (p[0] and p[1] and p[0] >= p[1])).map(lambda p: Period(*p))


@given(periods, periods)
def test_two_periods_share_exactly_the_instants_that_lie_in_both(one: Period, other: Period) -> None:
    shared = overlap(one, other)
    for half_day in range(-2, 22):
        instant = EPOCH + half_day * timedelta(hours=12)
        assert (shared is not None and instant in shared) == (instant in one and instant in other)
