"""The days and hours of a period are those that sums of charges name, each once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from costmeter.core.steps import DAY, HOUR, grain, steps
from tests.make import at


def test_short_periods_are_told_by_hour() -> None:
    start = at("2026-11-01T00:00:00Z")
    assert grain(start, start + timedelta(days=2)) == HOUR
    assert grain(start, start + timedelta(days=2, minutes=15)) == DAY


def test_days_are_those_of_the_zone_and_the_last_ends_with_the_period() -> None:
    told = [*steps(DAY, at("2026-11-01T16:00:00Z"), at("2026-11-03T20:00:00Z"), "Asia/Shanghai")]
    assert [one.key for one in told] == ["2026-11-02", "2026-11-03", "2026-11-04"]
    assert [one.end for one in told] == [at(f"2026-11-0{n}:00:00Z") for n in ("2T16", "3T16", "3T20")]


@pytest.mark.parametrize(
    ("zone", "start", "end", "keys"),
    [
        ("UTC", "2026-11-01T10:45:00Z", "2026-11-01T13:45:00Z", ["10", "11", "12", "13"]),
        ("Asia/Kolkata", "2026-11-01T10:30:00Z", "2026-11-01T12:30:00Z", ["16", "17"]),
        ("Asia/Kolkata", "2026-11-01T10:00:00Z", "2026-11-01T11:00:00Z", ["15", "16"]),
    ],
)
def test_hours_begin_on_the_clock_of_the_zone(zone: str, start: str, end: str, keys: list[str]) -> None:
    told = [*steps(HOUR, at(start), at(end), zone)]
    assert [one.label[6:8] for one in told] == keys
    assert told[-1].end == at(end)


def test_an_hour_that_the_clock_has_twice_is_two() -> None:
    told = [*steps(HOUR, at("2026-10-25T00:00:00Z"), at("2026-10-25T02:00:00Z"), "Europe/Berlin")]
    assert [one.key for one in told] == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]
