"""What changed between two editions: outside of the changed periods no price can differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.periods import Period
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import price_usage
from costmeter.core.repricing import ALWAYS, changed_periods, covers, hull
from costmeter.core.usage import Usage
from costmeter.services.fold import price_columns
from tests.books import a_book, a_name, a_tariff
from tests.late_prices import with_a_later_calendar, with_new_model, with_other_rate
from tests.make import at, book

NIGHT = '{ band = "night", start = "22:00", end = "06:00", zone = "Europe/Berlin" }'
DAY, CHEAP, DEAR = {"output": "3"}, {"output": "1"}, {"output": "2"}


def banded(
    night: dict[str, str] = CHEAP, *, start: str = "2025-01-01T00:00:00Z", basis: str = "completion"
) -> PriceBook:
    bands = {"day": DAY, "night": night}
    return a_book(a_tariff(start=start, band="day", windows=[NIGHT], bands=bands, basis=basis), a_name())


def test_the_same_text_changes_nothing_but_what_is_beyond_its_horizon() -> None:
    (rest,) = changed_periods(banded(), banded(), "demo", "USD")
    assert rest == Period(banded().horizon, None)


def test_a_name_that_neither_book_knows_changes_nothing() -> None:
    assert changed_periods(banded(), banded(DEAR), "other", "USD") == []


def test_a_rate_of_one_band_changes_every_band_since_savings_go_by_the_dearest() -> None:
    (all_of_it,) = changed_periods(banded(), banded(DEAR), "demo", "USD")
    assert all_of_it == Period(at("2025-01-01T00:00:00Z"), None)


def test_a_tariff_that_begins_earlier_changes_only_the_time_before() -> None:
    earlier, rest = changed_periods(banded(), banded(start="2024-12-01T00:00:00Z"), "demo", "USD")
    assert earlier == Period(at("2024-12-01T00:00:00Z"), at("2025-01-01T00:00:00Z"))
    assert rest.end is None


def test_a_new_model_changes_from_its_first_tariff_on() -> None:
    (since,) = changed_periods(book(), with_new_model(), "deepseek-9", "USD")
    assert since == Period(at("2025-01-01T00:00:00Z"), None)
    (beyond,) = changed_periods(book(), with_new_model(), "deepseek-chat", "USD")
    assert beyond.start == min(book().horizon, with_new_model().horizon)


def test_where_a_tariff_goes_by_the_start_of_a_call_any_completion_may_change() -> None:
    assert changed_periods(banded(), banded(DEAR, basis="start"), "demo", "USD") == [ALWAYS]


@pytest.mark.parametrize(
    ("instant", "is_covered"),
    [("2025-01-01T00:00:00Z", True), ("2025-01-02T00:00:00Z", False), ("2025-01-03T00:00:00Z", True),
     ("2024-12-31T23:59:59Z", False), ("2025-01-01T23:59:59.999999Z", True)],
)  # fmt: skip
def test_a_period_is_covered_from_its_start_up_to_its_end(instant: str, is_covered: bool) -> None:
    some = [Period(at("2025-01-01T00:00:00Z"), at("2025-01-02T00:00:00Z")), Period(at("2025-01-03T00:00:00Z"), None)]
    assert covers(some, at(instant)) is is_covered
    assert covers([ALWAYS], at(instant))


def test_the_hull_of_two_periods_is_open_where_one_of_them_is() -> None:
    one, two, three = (at(f"2025-01-0{day}T00:00:00Z") for day in (1, 2, 3))
    assert (
        hull(Period(two, three), Period(one, two)) == hull(Period(one, three), Period(two, two)) == Period(one, three)
    )
    assert hull(Period(one, two), Period(three, None)) == Period(one, None)
    assert hull(Period(None, one), Period(two, three)) == Period(None, three)
    assert hull(ALWAYS, Period(one, two)) == ALWAYS


books = st.sampled_from([book, with_new_model, with_other_rate, with_a_later_calendar])
names = st.sampled_from(
    ["deepseek-chat", "deepseek-reasoner", "deepseek-flash", "deepseek-v4-pro", "deepseek-9", "none"]
)
instants = st.datetimes(datetime(2024, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  made aware
edges = st.sampled_from(
    [
        at(text)
        for text in ("2025-02-26T16:30:00Z", "2025-01-01T00:00:00Z", "2027-01-18T02:00:00Z", "2026-12-31T16:00:00Z")
    ]
)
near_edges = st.builds(lambda edge, micros: edge + timedelta(microseconds=micros), edges, st.integers(-1, 1))
counts = st.sampled_from([0, 1, 10**6])


@given(books, books, names, instants | near_edges, st.builds(Usage, counts, counts, counts, st.just(0)))
def test_outside_of_the_changed_periods_every_price_is_the_same(
    first: object, second: object, name: str, instant: datetime, usage: Usage
) -> None:
    old, new = first(), second()  # type: ignore[operator]  # one of the books above
    said = [
        price_columns(price_usage(each, model=name, usage=usage, completed_at=instant, currency="USD"), ())
        for each in (old, new)
    ]
    if not covers(changed_periods(old, new, name, "USD"), instant):
        assert said[0] == said[1]
