"""What the price book says will change, against the rule itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.money import CURRENCIES
from costmeter.core.periods import MICROSECOND, Period
from costmeter.core.price_book import Tariff
from costmeter.core.price_changes import calendars_that_end, changed_rates, price_changes
from tests.books import CALENDAR, a_book, a_name, a_tariff
from tests.make import at, book

INSTANTS = st.datetimes(
    at("2023-06-01T00:00:00Z").replace(tzinfo=None), at("2027-06-01T00:00:00Z").replace(tzinfo=None)
)
EVER = Period(at("2020-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z"))


def in_force(name: str, currency: str, instant: datetime) -> Tariff | None:
    step = book().rule_at(name, currency, instant)
    return step.tariff if step else None


def rates(tariff: Tariff | None, currency: str) -> object:
    if tariff is None:
        return None
    listed = tariff.rates[currency].bands
    return {band: {meter: rate.units for meter, rate in found.items()} for band, found in listed.items()}


def test_each_change_is_one_by_the_rule() -> None:
    for currency in CURRENCIES:
        changes = price_changes(book(), currency, EVER)
        assert changes == sorted(changes, key=lambda change: change.at)
        assert len(changes) > 5
        for change in changes:
            for name in change.names:
                assert in_force(name, currency, change.at - MICROSECOND) is change.before
                assert in_force(name, currency, change.at) is change.after


@given(st.sampled_from(sorted(book().names)), st.sampled_from(CURRENCIES), INSTANTS, INSTANTS)
def test_between_changes_a_name_costs_the_same(name: str, currency: str, one: datetime, other: datetime) -> None:
    first, last = sorted((one.replace(tzinfo=UTC), other.replace(tzinfo=UTC)))
    named = [change for change in price_changes(book(), currency, EVER) if name in change.names]
    if not [change for change in named if first < change.at <= last]:
        assert rates(in_force(name, currency, first), currency) == rates(in_force(name, currency, last), currency)


def test_of_a_change_old_and_new_rates_are_told_as_they_are_printed() -> None:
    """The price page of 2025-02-08: deepseek-chat from 0.014, 0.14 and 0.28 to 0.07, 0.27 and 1.10 USD."""
    period = Period(at("2025-02-08T00:00:00Z"), at("2025-02-10T00:00:00Z"))
    (change,) = [one for one in price_changes(book(), "USD", period) if "deepseek-chat" in one.names]
    told = {row["meter"]: (row["old"], row["new"]) for row in changed_rates(change, "USD")}
    assert told == {
        "input.cache_hit": ("0.014", "0.07"),
        "input.cache_miss": ("0.14", "0.27"),
        "output": ("0.28", "1.10"),
    }


def test_a_band_that_comes_has_no_old_rate() -> None:
    day = "2025-03-01T00:00:00Z"
    night = '{ band = "night", start = "22:00", end = "06:00", zone = "UTC" }'
    rate = {"output": "3"}
    made = a_book(
        a_tariff(end=day, bands={"flat": rate}),
        a_tariff("demo/2", start=day, band="flat", windows=[night], bands={"flat": rate, "night": {"output": "1"}}),
        a_name(),
    )
    (change,) = [one for one in price_changes(made, "USD", EVER) if one.at == at(day)]
    rows = [(row["band"], row["old"], row["new"]) for row in changed_rates(change, "USD")]
    assert rows == [("flat", "3", "3"), ("night", None, "1")]
    assert price_changes(made, "CNY", EVER) == []


def test_a_calendar_ends_from_so_many_days_before_on() -> None:
    assert "published_to = 2026-01-01" in CALENDAR
    assert 'zone = "Europe/Berlin"' in CALENDAR
    window = '{ band = "night", start = "22:00", end = "06:00", zone = "UTC", holidays = "holidays" }'
    bands = {"flat": {"output": "3"}, "night": {"output": "1"}}
    made = a_book(a_tariff(windows=[window], bands=bands), a_name())
    midnight = at("2025-12-01T23:00:00Z")  # of Berlin: the 2nd begins, 30 days before
    assert [*calendars_that_end(made, midnight - timedelta(seconds=1), 30)] == []
    assert [calendar.name for calendar in calendars_that_end(made, midnight, 30)] == ["holidays"]
