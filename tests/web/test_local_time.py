"""Days and instants of forms are of the clock that the page names."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant, from_micros
from costmeter.web.local_time import local_text, read_day, read_instant

HOUR = timedelta(hours=1)  # that clocks are put back by
ZONES = ("UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/St_Johns", "Europe/Berlin")
SECONDS = st.integers(1_500_000_000, 2_000_000_000).map(lambda second: from_micros(second * 1_000_000))


@given(SECONDS, st.sampled_from(ZONES))
def test_what_a_form_is_given_is_read_again(instant: datetime, timezone: str) -> None:
    text = local_text(instant, timezone)
    repeated = {instant + shift for shift in (-HOUR, HOUR) if local_text(instant + shift, timezone) == text}
    if repeated:
        with pytest.raises(InputError, match="no single instant"):
            read_instant(text, "at", timezone)
    else:
        assert read_instant(text, "at", timezone) == instant


@pytest.mark.parametrize(
    ("text", "timezone", "instant"),
    [
        ("2026-11-18T09:20", "Asia/Shanghai", "2026-11-18T01:20:00Z"),
        ("2026-11-18T09:20:30", "UTC", "2026-11-18T09:20:30Z"),
        ("2026-11-18T09:20:30+01:00", "Asia/Shanghai", "2026-11-18T08:20:30Z"),
        ("2026-07-01T00:00", "Europe/Berlin", "2026-06-30T22:00:00Z"),
    ],
)
def test_an_instant_is_of_the_zone_unless_it_says_another(text: str, timezone: str, instant: str) -> None:
    assert format_instant(read_instant(text, "at", timezone)) == instant


@pytest.mark.parametrize("text", ["2026-03-29T02:30", "2026-10-25T02:30", "now", "2026-13-01T00:00", "", "0001-01-01"])
def test_what_is_no_single_instant_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="at"):
        read_instant(text, "at", "Europe/Berlin")


@pytest.mark.parametrize("text", ["2026-11-19", "1999-12-31", "today", "2026-02-30"])
def test_days_are_up_to_the_last(text: str) -> None:
    assert read_day("2026-11-18", "to", date(2026, 11, 18)) == date(2026, 11, 18)
    with pytest.raises(InputError, match="to"):
        read_day(text, "to", date(2026, 11, 18))
