"""The grid of a week says of each instant what the price book says of it, on whatever clock."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmeter.core.periods import parse_instant, zone
from costmeter.reports.week import coming_holidays, week_of_bands
from tests.make import at, book

NOW = at("2026-09-23T09:20:00Z")
ZONES = ("UTC", "Asia/Shanghai", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Europe/Berlin")


def week(first: str, model: str = "deepseek-flash", timezone: str = "UTC", now: datetime = NOW) -> dict[str, Any]:
    return week_of_bands(book(), model, "USD", date.fromisoformat(first), timezone=timezone, now=now)


def hour_of(instant: datetime, found: dict[str, Any]) -> list[dict[str, Any]]:
    local = instant.astimezone(zone(found["timezone"]))
    (day,) = (one for one in found["days"] if one["day"] == local.date().isoformat())
    hours: list[dict[str, Any]] = day["hours"][local.hour]
    return hours


@settings(deadline=None, max_examples=60)
@given(
    st.datetimes(datetime(2025, 2, 1), datetime(2027, 3, 1)),  # noqa: DTZ001 - made aware below
    st.sampled_from(ZONES),
    st.sampled_from(("deepseek-chat", "deepseek-flash", "deepseek-v4-pro")),
)
def test_each_part_is_what_the_book_says(local: datetime, timezone: str, model: str) -> None:
    instant = local.replace(tzinfo=zone("UTC"))
    instant = parse_instant(instant.isoformat())
    day = instant.astimezone(zone(timezone)).date()
    found = week_of_bands(book(), model, "USD", day - timedelta(days=day.weekday()), timezone=timezone, now=instant)
    parts = hour_of(instant, found)
    (part,) = (one for one in parts if one["now"])
    step = book().step_at(model, "USD", instant)
    assert (part["band"], part["provisional"]) == ((step.band, step.provisional) if step else (None, False))
    everywhere = [one for one in found["days"] for hour in one["hours"] for part in hour if part["now"]]
    assert len(everywhere) == 1, "now is once"


def test_an_hour_is_divided_where_the_band_changes_in_it() -> None:
    utc, kathmandu = (week("2025-03-10", "deepseek-chat", name) for name in ("UTC", "Asia/Kathmandu"))
    assert [part["band"] for part in utc["days"][0]["hours"][16]] == ["standard", "off_peak"]
    assert [part["band"] for part in utc["days"][0]["hours"][17]] == ["off_peak"]
    # 16:30 UTC is 22:15 there.
    assert [part["band"] for part in kathmandu["days"][0]["hours"][22]] == ["standard", *["off_peak"] * 3]


def test_an_hour_that_the_clock_skips_has_nothing_and_one_that_it_repeats_has_both() -> None:
    spring, autumn = (week(first, timezone="Europe/Berlin") for first in ("2026-03-23", "2026-10-19"))
    assert spring["days"][6]["hours"][2] == []
    assert len(autumn["days"][6]["hours"][2]) == 1
    again = at("2026-10-25T01:30:00Z")  # 02:30 for the second time
    assert hour_of(again, week("2026-10-19", timezone="Europe/Berlin", now=again))[0]["now"]


def test_holidays_change_bands_and_are_told_ahead() -> None:
    found = week("2026-09-21", timezone="Asia/Shanghai")
    monday, friday = found["days"][0]["hours"], found["days"][4]["hours"]
    assert [(part["band"], part["holiday"]) for part in monday[9]] == [("peak", False)]
    assert [(part["band"], part["holiday"]) for part in friday[9]] == [("off_peak", True)]
    assert [part["holiday"] for part in friday[13]] == [False], "it is off-peak on any day"
    (calendar,) = coming_holidays(book(), "deepseek-flash", NOW)
    assert calendar["stretches"] == [
        {"first": "2026-09-25", "last": "2026-09-27"},
        {"first": "2026-10-01", "last": "2026-10-07"},
    ]
    assert calendar["published_to"] == "2027-01-01"
    assert coming_holidays(book(), "deepseek-search", NOW) == []
    (later,) = coming_holidays(book(), "deepseek-flash", at("2026-11-18T09:20:00Z"))
    assert later["stretches"] == []


def test_beyond_the_calendar_it_is_provisional_and_without_a_price_nothing() -> None:
    assert week("2027-01-04")["days"][0]["hours"][2][0]["provisional"]
    assert week("2024-01-01")["days"][0]["hours"][2][0]["band"] is None


@pytest.mark.parametrize("timezone", ZONES)
def test_a_day_has_all_its_hours(timezone: str) -> None:
    for day in week("2026-11-16", timezone=timezone)["days"]:
        assert len(day["hours"]) == 24
        assert all(day["hours"])
