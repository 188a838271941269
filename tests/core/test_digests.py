"""Which days a digest tells of, in every zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.digests import DIGESTS, Digest, before, check_digest, last_over
from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant
from tests.make import at

ZONES = (
    "UTC",
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/Los_Angeles",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
    "Asia/Kolkata",
)


@pytest.mark.parametrize(
    ("kind", "now", "zone", "subject", "first", "end"),
    [
        ("daily", "2025-03-01T00:00:00Z", "UTC", "daily 2025-02-28", "2025-02-28", "2025-03-01"),
        ("daily", "2024-02-29T23:59:59Z", "UTC", "daily 2024-02-28", "2024-02-28", "2024-02-29"),
        ("daily", "2025-03-01T15:59:59Z", "Asia/Shanghai", "daily 2025-02-28", "2025-02-28", "2025-03-01"),
        ("daily", "2025-03-01T16:00:00Z", "Asia/Shanghai", "daily 2025-03-01", "2025-03-01", "2025-03-02"),
        ("weekly", "2025-01-05T12:00:00Z", "UTC", "weekly 2024-W52", "2024-12-23", "2024-12-30"),
        ("weekly", "2025-01-06T00:00:00Z", "UTC", "weekly 2025-W01", "2024-12-30", "2025-01-06"),
        ("monthly", "2025-01-31T12:00:00Z", "UTC", "monthly 2024-12", "2024-12-01", "2025-01-01"),
        ("monthly", "2024-03-01T00:00:00Z", "UTC", "monthly 2024-02", "2024-02-01", "2024-03-01"),
    ],
)  # fmt: skip
def test_it_is_the_last_one_that_is_over(kind: str, now: str, zone: str, subject: str, first: str, end: str) -> None:
    found = last_over(kind, at(now), zone)
    assert (found.subject, found.first.isoformat(), found.end.isoformat()) == (subject, first, end)


def test_a_day_of_a_changed_clock_has_23_or_25_hours() -> None:
    spring = Digest("daily", date(2025, 3, 30), date(2025, 3, 31)).period("Europe/Berlin")
    assert [format_instant(edge) for edge in spring if edge] == ["2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"]


@given(
    now=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001 - made aware below
    kind=st.sampled_from(DIGESTS),
    zone=st.sampled_from(ZONES),
)
def test_it_ended_by_now_and_the_next_one_has_not(now: datetime, kind: str, zone: str) -> None:
    aware = now.replace(tzinfo=UTC)
    digest = last_over(kind, aware, zone)
    period, earlier = digest.period(zone), before(digest)
    assert period.start is not None
    assert period.end is not None
    assert period.start < period.end <= aware
    assert earlier.end == digest.first
    assert last_over(kind, period.end, zone) == digest
    assert last_over(kind, period.end - timedelta(microseconds=1), zone) == earlier


def test_another_kind_is_none() -> None:
    with pytest.raises(InputError, match="kind 'hourly': use one of daily, weekly, monthly"):
        check_digest("hourly")
