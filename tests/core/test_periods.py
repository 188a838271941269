"""Instants are aware UTC to the microsecond; periods and months are half-open in whatever zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.periods import (
    EPOCH,
    FIRST_INSTANT,
    LAST_INSTANT,
    MICROSECOND,
    Period,
    as_utc,
    check_month,
    day_period,
    format_instant,
    from_micros,
    month_of,
    month_period,
    parse_instant,
    to_micros,
    zone,
)

# Offsets from -12 to +14 hours; daylight saving in both hemispheres, at midnight, by half an hour, and a skipped day.
ZONES = (
    "UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo",
    "Africa/Cairo", "Pacific/Apia", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "America/St_Johns",
)  # fmt: skip
# Within what every zone can write.
instants = st.datetimes(
    FIRST_INSTANT.replace(tzinfo=None),
    (LAST_INSTANT - MICROSECOND).replace(tzinfo=None),
    timezones=st.just(UTC),
)
recent = st.datetimes(datetime(1995, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
offsets = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
zones = st.sampled_from(ZONES)


@given(instants)
def test_an_instant_written_out_reads_back_as_itself(instant: datetime) -> None:
    assert parse_instant(format_instant(instant)) == instant
    assert format_instant(instant).endswith("Z")


@given(recent, offsets)
def test_an_instant_is_the_same_in_whatever_offset_it_is_written(instant: datetime, offset: timezone) -> None:
    written = instant.astimezone(offset).isoformat()

    read = parse_instant(written)

    assert read == instant
    assert read.tzinfo is UTC
    assert parse_instant(instant.astimezone(offset)).isoformat() == instant.isoformat()
    assert format_instant(instant.astimezone(offset)) == format_instant(instant)


@given(instants)
def test_microseconds_since_the_epoch_are_exact_both_ways(instant: datetime) -> None:
    micros = to_micros(instant)

    assert from_micros(micros) == instant
    assert EPOCH + micros * MICROSECOND == instant
    assert to_micros(instant + MICROSECOND) == micros + 1
    assert abs(micros) < 2**63


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-03-01T16:30:00Z", datetime(2025, 3, 1, 16, 30, tzinfo=UTC)),
        ("2025-03-01t16:30:00z", datetime(2025, 3, 1, 16, 30, tzinfo=UTC)),
        ("2025-03-01 16:30:00Z", datetime(2025, 3, 1, 16, 30, tzinfo=UTC)),
        ("2025-03-02T00:30:00+08:00", datetime(2025, 3, 1, 16, 30, tzinfo=UTC)),
        ("2025-03-01T13:00:00.5-03:30", datetime(2025, 3, 1, 16, 30, 0, 500_000, tzinfo=UTC)),
        ("2025-03-01T16:29:59.999999999Z", datetime(2025, 3, 1, 16, 29, 59, 999_999, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_rfc_3339_is_read_and_anything_finer_than_a_microsecond_cut_off(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2025, 3, 1, 16, 30, tzinfo=UTC), "2025-03-01T16:30:00Z"),
        (datetime(2025, 3, 1, 16, 30, 0, 120_000, tzinfo=UTC), "2025-03-01T16:30:00.120000Z"),
        (datetime(2025, 3, 2, 0, 30, tzinfo=ZoneInfo("Asia/Shanghai")), "2025-03-01T16:30:00Z"),
        (datetime(900, 1, 1, tzinfo=UTC), "0900-01-01T00:00:00Z"),
    ],
)
def test_instants_are_written_in_utc(instant: datetime, text: str) -> None:
    assert format_instant(instant) == text


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("2025-03-01T16:30:00", "has no time zone; add Z or an offset such as +08:00"),
        ("2025-03-01T16:30:00.25", "has no time zone; add Z or an offset such as +08:00"),
        ("2025-03-01", "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        ("2025-03-01T16:30Z", "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        ("2025-03-01T16:30:00 Z", "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        ("2025-03-01T16:30:00Z\n", "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        ("20250301T163000Z", "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        ("2025-W09-6T16:30:00Z", "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        ("", "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        (None, "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        (1_740_846_600, "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        (1.5, "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
    ],
)
def test_what_is_no_instant_is_refused_by_name(value: object, remedy: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_instant(value, "completed_at")

    named = "completed_at" if value is None else f"completed_at {value!r}"
    assert str(refusal.value) == f"{named}: {remedy}"


@pytest.mark.parametrize(
    "text",
    ["2025-02-29T00:00:00Z", "2025-13-01T00:00:00Z", "2025-03-01T23:59:60Z", "2025-03-01T00:00:00+24:00"],
)
def test_an_instant_that_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^started_at '.*': is no instant: "):
        parse_instant(text, "started_at")


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-08:00"]
)
def test_an_instant_that_has_no_date_in_some_zone_is_refused(text: str) -> None:
    """The zero time of some languages is one; a ledger in another zone could not book it."""
    with pytest.raises(InputError, match="is no date in every time zone; correct it at its source"):
        parse_instant(text)
    with pytest.raises(InputError, match="is no date in every time zone; correct it at its source"):
        as_utc(datetime.fromisoformat(text))


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(InputError, match=r"^now '2025-03-01T00:00:00': has no time zone; pass an aware datetime$"):
        as_utc(datetime(2025, 3, 1), "now")  # noqa: DTZ001


def test_an_aware_datetime_keeps_its_moment_and_its_fold() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2025, 10, 26, 2, 30, tzinfo=berlin)

    assert as_utc(first) == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert as_utc(first.replace(fold=1)) == datetime(2025, 10, 26, 1, 30, tzinfo=UTC)


@given(recent, recent, recent)
def test_a_period_has_its_start_and_not_its_end(one: datetime, other: datetime, instant: datetime) -> None:
    start, end = sorted((one, other))
    assert (instant in Period(start, end)) == (start <= instant < end)
    assert (instant in Period(start, None)) == (start <= instant)
    assert (instant in Period(None, end)) == (instant < end)
    assert instant in Period(None, None)
    assert "2025-03-01T00:00:00Z" not in Period(None, None)
    assert end not in Period(start, end)
    assert start in Period(start, end) or start == end


@given(recent, zones)
def test_an_instant_lies_in_its_month_and_in_no_neighbour(instant: datetime, name: str) -> None:
    month = month_of(instant, name)
    period = month_period(month, name)

    assert instant in period
    assert period.start is not None
    assert period.end is not None
    assert month_of(period.start, name) == month
    assert month_of(period.end - MICROSECOND, name) == month
    assert month_of(period.start - MICROSECOND, name) < month < month_of(period.end, name)


@given(st.integers(1995, 2045), st.integers(1, 12), zones)
def test_months_follow_each_other_without_gap_or_overlap(year: int, number: int, name: str) -> None:
    following = (year + number // 12, number % 12 + 1)
    end = month_period(f"{year:04d}-{number:02d}", name).end
    assert end == month_period(f"{following[0]:04d}-{following[1]:02d}", name).start


@pytest.mark.parametrize(
    ("month", "zone_name", "start", "end", "hours"),
    [
        ("2024-02", "UTC", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", 29 * 24),
        ("2025-02", "UTC", "2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z", 28 * 24),
        ("2025-03", "Asia/Shanghai", "2025-02-28T16:00:00Z", "2025-03-31T16:00:00Z", 31 * 24),
        ("2025-03", "America/New_York", "2025-03-01T05:00:00Z", "2025-04-01T04:00:00Z", 31 * 24 - 1),
        ("2025-11", "America/New_York", "2025-11-01T04:00:00Z", "2025-12-01T05:00:00Z", 30 * 24 + 1),
        ("2025-03", "Europe/Berlin", "2025-02-28T23:00:00Z", "2025-03-31T22:00:00Z", 31 * 24 - 1),
        ("2025-12", "Pacific/Kiritimati", "2025-11-30T10:00:00Z", "2025-12-31T10:00:00Z", 31 * 24),
        ("2025-12", "Etc/GMT+12", "2025-12-01T12:00:00Z", "2026-01-01T12:00:00Z", 31 * 24),
    ],
)
def test_a_month_begins_and_ends_at_midnight_of_its_zone(
    month: str, zone_name: str, start: str, end: str, hours: int
) -> None:
    period = month_period(month, zone_name)

    assert period == (parse_instant(start), parse_instant(end))
    assert parse_instant(end) - parse_instant(start) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "month", ["2025-3", "2025-00", "2025-13", "25-03", "2025-03-01", "0000-05", "9999-12", None, 3]
)
def test_what_is_no_month_is_refused(month: object) -> None:
    with pytest.raises(InputError, match=r": write a month as YYYY-MM$"):
        check_month(month)


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("month", ["0001-02", "9999-11"])
def test_the_first_and_the_last_month_are_there_in_every_zone(name: str, month: str) -> None:
    assert month_of(month_period(month, name).start or EPOCH, name) == month


@pytest.mark.parametrize("name", ["Mars/Phobos", "", "Asia", "../etc/passwd", "UTC\x00", "CEST+1"])
def test_what_is_no_zone_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=r"^account.timezone .*: is no IANA time zone; use one such as UTC or "):
        zone(name, "account.timezone")


class LongWay(str):
    """A text that no short cut takes: what the general rule makes of it."""

    __slots__ = ()


DIGITS = st.text("0123456789", min_size=1, max_size=4)
SHAPES = st.sampled_from(["{}-{}-{}T{}:{}:{}Z", "{}-{}-{}T{}:{}:{}.{}Z", "{}-{}-{}t{}:{}:{}z", "{}-W{}-{}T{}:{}:{}Z",
                          "{}{}{}T{}{}{}Z", "{}-{}-{}T{}:{}:{},{}Z", "{}-{}-{} {}:{}:{}.{}+{}:{}"])  # fmt: skip
PARTS = st.tuples(*[st.one_of(DIGITS, st.sampled_from(["2025", "02", "29", "24", "60", "+1", " 1", "٣", "0a"]))] * 9)
WRITTEN = st.one_of(
    instants.map(format_instant),
    instants.map(lambda instant: instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")),
    st.builds(lambda shape, parts: shape.format(*parts), SHAPES, PARTS),
    st.text("0123456789-:.TZtz+W ", min_size=20, max_size=27),
    st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2025-03-01T24:00:00Z"]),
)


@given(WRITTEN)
def test_the_short_cut_of_usual_instants_gives_what_the_rule_gives(text: str) -> None:
    def read(value: str) -> object:
        try:
            instant = parse_instant(value)
        except InputError as error:
            return str(error)
        assert instant.tzinfo is UTC
        return instant

    assert read(text) == read(LongWay(text))


@pytest.mark.parametrize(
    ("day", "zone_name", "start", "end"),
    [
        ("2025-03-03", "UTC", "2025-03-03T00:00:00Z", "2025-03-04T00:00:00Z"),
        ("2025-03-03", "Asia/Shanghai", "2025-03-02T16:00:00Z", "2025-03-03T16:00:00Z"),
        ("2025-03-09", "America/New_York", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z"),  # 23 hours
        ("2025-11-02", "America/New_York", "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"),  # 25 hours
        ("2017-10-15", "America/Sao_Paulo", "2017-10-15T03:00:00Z", "2017-10-16T02:00:00Z"),  # begins at 01:00
        ("2018-02-17", "America/Sao_Paulo", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"),  # 23:00 comes twice
    ],
)
def test_a_day_begins_and_ends_by_its_own_clock(day: str, zone_name: str, start: str, end: str) -> None:
    period = day_period(date.fromisoformat(day), zone_name)
    assert period == Period(parse_instant(start), parse_instant(end))
    days = {
        (edge + offset).astimezone(zone(zone_name)).date().isoformat()
        for edge, offset in ((period.start, timedelta()), (period.end, -MICROSECOND))
        if edge is not None
    }
    assert days == {day}
