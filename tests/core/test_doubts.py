"""Doubts of the clock: a call is marked exactly where another second could have changed its price or its month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmeter.core.doubts import NEAR_BAND, NEAR_MONTH, NO_DOUBT, ClockDoubt, clock_doubt, clock_margin
from costmeter.core.events import UsageEvent, read_event
from costmeter.core.money import format_amount
from costmeter.core.periods import FIRST_INSTANT, LAST_INSTANT, month_of, parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import price_event
from costmeter.prices.read import builtin_book
from tests.books import RATES, a_book, a_name, a_tariff
from tests.make import MILLION, an_event

BOOK = builtin_book()
MINUTE, MICROSECOND = timedelta(minutes=1), timedelta(microseconds=1)


def call(completed_at: str | datetime, offset: object = None, model: str = "deepseek-chat", **more: Any) -> UsageEvent:
    """A call of a million output tokens, unless said otherwise."""
    at = completed_at if isinstance(completed_at, str) else completed_at.isoformat()
    detail = {} if offset is None else {"clock_offset_seconds": offset}
    return read_event(an_event("call", at, model=model, detail=detail, **more))


def doubt(event: UsageEvent, *, currency: str = "USD", timezone: str = "UTC", book: PriceBook = BOOK) -> ClockDoubt:
    return clock_doubt(book, event, price_event(book, event, currency), currency, timezone)


# ------------------------------------------------------------------------------------------------- golden rows
# A million output tokens. What the other side costs is worked out from the vendor's pages.

GOLDEN = [
    # 2025, deepseek-chat: 1.10 by day, 0.55 from 16:30:00 up to 00:30:00.
    ("deepseek-chat", "2025-03-03T16:29:58.999999Z", 0, None),
    ("deepseek-chat", "2025-03-03T16:29:59Z", 0, "0.55"),
    ("deepseek-chat", "2025-03-03T16:29:59.999999Z", 0.0, "0.55"),
    ("deepseek-chat", "2025-03-03T16:30:00Z", 0, "0.55"),
    ("deepseek-chat", "2025-03-03T16:30:00.999999Z", 0, "0.55"),
    ("deepseek-chat", "2025-03-03T16:30:01Z", 0, None),
    ("deepseek-chat", "2025-03-03T16:30:00Z", None, None),  # no offset is no doubt
    ("deepseek-chat", "2025-03-03T16:29:56.499999Z", -2.5, None),
    ("deepseek-chat", "2025-03-03T16:29:56.5Z", -2.5, "0.55"),
    ("deepseek-chat", "2025-03-03T16:30:03.499999Z", 2.5, "0.55"),
    ("deepseek-chat", "2025-03-03T16:30:03.5Z", 2.5, None),
    ("deepseek-chat", "2025-03-04T00:29:59Z", 0, "0.55"),
    ("deepseek-chat", "2025-03-04T00:30:00.999999Z", 0, "0.55"),
    ("deepseek-chat", "2025-03-04T00:30:01Z", 0, None),
    # deepseek-reasoner: 2.19 and 0.550.
    ("deepseek-reasoner", "2025-03-03T16:30:00Z", 0, "1.64"),
    # A new tariff: 0.28 became 1.10 at 2025-02-08 16:00:00 UTC.
    ("deepseek-chat", "2025-02-08T15:59:59Z", 0, "0.82"),
    ("deepseek-chat", "2025-02-08T16:00:00Z", 0, "0.82"),
    # The end of a name, where there is no price on the other side: all of the 0.28 depends on it.
    ("deepseek-chat", "2026-07-24T15:58:59.5Z", 0, "0.28"),
    ("deepseek-chat", "2026-07-24T15:59:00.5Z", 0, "0.28"),
    # 2026, deepseek-v4-pro: 3.96 from 09:00 to 12:00 and from 14:00 to 18:00 in Beijing (UTC+8), else 1.98.
    ("deepseek-v4-pro", "2026-09-01T00:59:59Z", 0, "1.98"),
    ("deepseek-v4-pro", "2026-09-01T01:00:00Z", 0, "1.98"),
    ("deepseek-v4-pro", "2026-09-01T04:00:00Z", 0, "1.98"),
    ("deepseek-v4-pro", "2026-09-01T06:00:00Z", 0, "1.98"),
    ("deepseek-v4-pro", "2026-09-01T10:00:00.999999Z", 0, "1.98"),
    ("deepseek-v4-pro", "2026-09-01T10:00:01Z", 0, None),
    ("deepseek-v4-pro", "2026-09-05T01:00:00Z", 0, None),  # a Saturday
    ("deepseek-v4-pro", "2026-10-01T01:00:00Z", 0, None),  # a public holiday
    ("deepseek-flash", "2026-09-11T01:00:00Z", 0, "0.60"),  # 1.20 and 0.60
    ("deepseek-v4-pro", "2031-07-01T00:59:58.999999Z", 0, None),
    ("deepseek-v4-pro", "2031-07-01T00:59:59Z", 0, "1.98"),  # far beyond what is compiled
    # Another tariff with the same price is no doubt, nor is a calendar that is not published yet.
    ("deepseek-v4-pro", "2026-08-22T16:00:00Z", 0, None),
    ("deepseek-v4-pro", "2026-12-31T16:00:00Z", 0, None),
    # Of several prices within reach the one that is furthest away counts.
    ("deepseek-v4-pro", "2026-04-26T12:00:00Z", 14 * 86_400, "2.61"),  # 0.87 since the day after 3.48
]  # fmt: skip


@pytest.mark.parametrize(("model", "completed_at", "offset", "amount"), GOLDEN)
def test_a_call_near_a_change_of_price_is_marked(
    model: str, completed_at: str, offset: float | None, amount: str | None
) -> None:
    found = doubt(call(completed_at, offset, model))

    assert (None if found.by_band is None else format_amount(found.by_band)) == amount
    assert (NEAR_BAND in found.flags) == (amount is not None)


@pytest.mark.parametrize(
    ("completed_at", "timezone", "offset", "flags", "amount"),
    [
        # April 2025 begins in Shanghai at 16:00:00 UTC on March 31, at the standard price.
        ("2025-03-31T15:59:58.999999Z", "Asia/Shanghai", 0, (), "0.00"),
        ("2025-03-31T15:59:59Z", "Asia/Shanghai", 0, (NEAR_MONTH,), "1.10"),
        ("2025-03-31T16:00:00Z", "Asia/Shanghai", 0, (NEAR_MONTH,), "1.10"),
        ("2025-03-31T16:00:00.999999Z", "Asia/Shanghai", 0, (NEAR_MONTH,), "1.10"),
        ("2025-03-31T16:00:01Z", "Asia/Shanghai", 0, (), "0.00"),
        ("2025-03-31T16:00:00Z", "Asia/Shanghai", None, (), "0.00"),
        ("2025-03-31T16:00:00Z", "UTC", 0, (), "0.00"),
        ("2025-03-31T23:59:59.5Z", "UTC", 0, (NEAR_MONTH,), "0.55"),  # off-peak
        ("2025-04-01T10:00:00Z", "Etc/GMT+10", 0, (NEAR_MONTH,), "1.10"),
        ("2025-03-31T10:00:00Z", "Pacific/Kiritimati", 0, (NEAR_MONTH,), "1.10"),
        # Both are near: the whole amount counts, once.
        ("2025-04-01T00:10:00Z", "UTC", -1_199, (NEAR_BAND, NEAR_MONTH), "0.55"),
        ("2025-03-31T16:29:59Z", "Asia/Shanghai", 1_800, (NEAR_BAND, NEAR_MONTH), "1.10"),
        # The difference counts where it is more than the amount: off-peak 0.55, reached from 0.28 the month before.
        ("2025-02-08T15:59:59Z", "Asia/Shanghai", 8 * 86_400, (NEAR_BAND, NEAR_MONTH), "0.82"),
    ],
)
def test_a_call_near_the_end_of_a_billing_month_is_marked(
    completed_at: str, timezone: str, offset: float | None, flags: tuple[str, ...], amount: str
) -> None:
    found = doubt(call(completed_at, offset), timezone=timezone)

    assert found.flags == flags
    assert format_amount(found.amount) == amount


def test_what_costs_nothing_on_either_side_is_near_no_band() -> None:
    assert doubt(call("2025-03-03T16:30:00Z", 0, output=0)) == NO_DOUBT
    assert doubt(call("2025-04-01T00:00:00Z", 0, output=0)) == ClockDoubt(None, 0)


def test_an_unpriced_call_counts_as_nothing() -> None:
    assert doubt(call("2026-07-25T00:00:00Z", 0)) == NO_DOUBT
    assert doubt(call("2026-08-01T00:00:00Z", 0)) == ClockDoubt(None, 0)
    assert doubt(call("2026-08-01T00:00:00Z", 0, "no-such-model")) == ClockDoubt(None, 0)
    # Before 2024-08-02 a cache hit has no rate; from then on a million cost 0.014.
    assert doubt(call("2024-08-02T00:00:00Z", 0, hit=MILLION, output=0)).by_band == 14 * 10**9


# ---------------------------------------------------------------------------------------- start or completion


def book_by_start() -> PriceBook:
    """By completion until June 2025; from then on by start, at a third of the price before six."""
    window = '{ band = "night", start = "00:00", end = "06:00", zone = "UTC" }'
    by_start = a_tariff(
        "demo/2", start="2025-06-01T00:00:00Z", basis="start", band="day", windows=[window],
        bands={"day": RATES, "night": dict.fromkeys(RATES, "1")},
    )  # fmt: skip
    return a_book(a_tariff("demo/1", bands={"flat": dict.fromkeys(RATES, "7")}), by_start, a_name())


BY_START = book_by_start()


@pytest.mark.parametrize(
    ("started_at", "completed_at", "amount"),
    [
        ("2025-06-02T05:59:59Z", "2025-06-02T06:20:00Z", "2.00"),
        ("2025-06-02T05:59:58Z", "2025-06-02T06:20:00Z", None),
        ("2025-06-02T05:50:00Z", "2025-06-02T06:00:00Z", None),  # the completion is near an edge that does not matter
        (None, "2025-06-02T06:00:00Z", "2.00"),
        # With the tariff in force at completion changes which instant decides: 7 by completion, 1 by start at night.
        ("2025-05-31T23:59:59Z", "2025-06-01T00:00:00Z", "6.00"),
        # Begun long before, the price at the start is that of completion: the rule changes, the price does not.
        ("2025-05-31T23:00:00Z", "2025-06-01T00:00:00Z", None),
    ],
)
def test_the_instant_that_decides_is_the_one_that_counts(
    started_at: str | None, completed_at: str, amount: str | None
) -> None:
    found = doubt(call(completed_at, 0, "demo", started_at=started_at), book=BY_START)

    assert (None if found.by_band is None else format_amount(found.by_band)) == amount


# -------------------------------------------------------------------------------- the same, slowly and by the rule

EDGES = st.sampled_from(
    [
        "2024-08-02T00:00:00Z", "2025-02-08T16:00:00Z", "2025-02-26T16:30:00Z", "2025-03-31T16:30:00Z",
        "2025-04-01T00:30:00Z", "2025-06-01T00:00:00Z", "2025-06-02T06:00:00Z", "2025-09-05T16:00:00Z",
        "2026-04-24T00:00:00Z", "2026-07-24T15:59:00Z", "2026-08-31T16:00:00Z", "2026-09-10T04:00:00Z",
        "2026-10-08T01:00:00Z", "2026-12-31T16:00:00Z", "2031-07-01T01:00:00Z", "2031-06-30T16:00:00Z",
    ]
).map(parse_instant)  # fmt: skip
MODELS = st.sampled_from(["deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash", "deepseek-v4-pro", "demo"])
ZONES = st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Africa/Cairo"])


def shifts(event: UsageEvent, margin: timedelta) -> Iterator[timedelta]:
    """Every shift at which anything may change: all that these books and zones do begins at a whole minute."""
    yield from (-margin, timedelta(0), margin)
    for instant in (event.completed_at, event.started_at):
        if instant is not None:
            minute = (instant - margin).replace(second=0, microsecond=0)
            while minute <= instant + margin:
                yield from (s for s in (minute - instant, minute - MICROSECOND - instant) if abs(s) <= margin)
                minute += MINUTE


def slow_amount(book: PriceBook, event: UsageEvent, currency: str, shift: timedelta) -> int | None:
    """The price by the rule itself, of a call that was so much later."""
    step = book.rule_at(event.model, currency, event.completed_at + shift)
    if step is not None and step.tariff.basis == "start" and event.started_at is not None:
        step = book.rule_at(event.model, currency, event.started_at + shift)
    if step is None or event.usage is None:
        return None
    meters = zip(("input.cache_hit", "input.cache_miss", "output"), event.usage[:3], strict=True)
    used = [(meter, quantity) for meter, quantity in meters if quantity]
    if any(meter not in step.rates for meter, _ in used):
        return None
    return sum(quantity * step.rates[meter].units for meter, quantity in used)


def slow_doubt(book: PriceBook, event: UsageEvent, currency: str, timezone: str, margin: timedelta) -> ClockDoubt:
    tried = [*shifts(event, margin)]
    amount = slow_amount(book, event, currency, timedelta(0))
    others = {slow_amount(book, event, currency, shift) for shift in tried} - {amount}
    months = {month_of(event.completed_at + shift, timezone) for shift in tried}
    by_band = max((abs((other or 0) - (amount or 0)) for other in others), default=None)
    return ClockDoubt(by_band, (amount or 0) if len(months) > 1 else None)


@settings(max_examples=500)
@given(
    EDGES, st.integers(-4_000_000, 4_000_000), st.sampled_from([1, 1, 1, 1_000]), MODELS, ZONES,
    st.sampled_from(["USD", "CNY"]), st.one_of(st.none(), st.floats(0, 5_000)),
    st.one_of(st.floats(-3, 3), st.integers(-4_000, 4_000), st.floats(-4_000, 4_000)),
    st.tuples(*[st.integers(0, 3)] * 3),
)  # fmt: skip
def test_a_call_is_marked_where_the_price_by_the_rule_differs(
    edge: datetime, micros: int, factor: int, model: str, timezone: str, currency: str, elapsed: float | None,
    offset: float, counts: tuple[int, int, int],
) -> None:  # fmt: skip
    book = BY_START if model == "demo" else BOOK
    at = edge + timedelta(microseconds=micros * factor)
    started_at = None if elapsed is None else (at - timedelta(seconds=elapsed)).isoformat()
    hit, miss, output = counts
    event = call(at, offset, model, hit=hit, miss=miss, output=output, started_at=started_at)
    margin = clock_margin(event)
    assert margin == timedelta(seconds=abs(offset) + 1)

    found = doubt(event, book=book, currency=currency, timezone=timezone)
    assert found == slow_doubt(book, event, currency, timezone, margin)


@pytest.mark.parametrize("offset", ["1", True, None, float("nan"), float("inf"), [1], {"a": 1}])
def test_what_is_no_offset_is_none(offset: object) -> None:
    assert clock_margin(call("2025-03-03T16:30:00Z", offset)) is None
    assert doubt(call("2025-03-03T16:30:00Z", offset)) == NO_DOUBT


@pytest.mark.parametrize("offset", [0, -0.0, 1e-9, 10**18, -1e300])
@pytest.mark.parametrize("at", [FIRST_INSTANT, LAST_INSTANT - MICROSECOND, parse_instant("2025-03-03T16:30:00Z")])
def test_no_offset_and_no_instant_raise(offset: float, at: datetime) -> None:
    event = call(at, offset, started_at=FIRST_INSTANT.isoformat())

    assert clock_margin(event) <= timedelta(days=31)  # type: ignore[operator]  # there is one
    doubt(event, timezone="Pacific/Kiritimati")
    doubt(event, timezone="Pacific/Pago_Pago")


def test_with_a_clock_that_is_a_month_off_every_month_is_near() -> None:
    for day in range(1, 32):
        assert NEAR_MONTH in doubt(call(datetime(2025, 3, day, 12, tzinfo=UTC), 10**9)).flags
