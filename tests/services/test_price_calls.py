"""Pricing in bulk says of every call what the core says of it, to the last digit, whatever the book and the instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import MICROSECOND, parse_instant, to_micros
from costmeter.core.price_book import FLAT, TOKEN_METERS, PriceBook
from costmeter.core.pricing import START_UNKNOWN, Charge, Unpriced, price_usage
from costmeter.core.usage import MAX_TOKENS, Usage
from costmeter.prices.read import builtin_book, builtin_text, read_book
from costmeter.services import price_calls as bulk
from costmeter.services.fold import price_columns
from costmeter.services.price_calls import Calls, Prices, exact_sum, price_calls
from costmeter.store.charges import PRICE
from tests.books import a_book, a_name, a_tariff

NEAR = (-MICROSECOND, timedelta(0), MICROSECOND)
FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 29, 23, 59, 59, 999_999, tzinfo=UTC)
CURRENCIES = ("USD", "CNY", "EUR")


class Call(NamedTuple):
    """One call, as the core takes it."""

    name: str
    completed_at: datetime
    started_at: datetime | None
    tokens: tuple[int, int, int]


def columns(calls: Sequence[Call]) -> Calls:
    return Calls.of(
        (
            call.name,
            to_micros(call.completed_at),
            None if call.started_at is None else to_micros(call.started_at),
            *call.tokens,
        )
        for call in calls
    )


def price(book: PriceBook, calls: Sequence[Call], currency: str) -> Prices:
    """The prices of so few calls that they are one chunk."""
    (prices,) = price_calls(book, columns(calls), currency)
    return prices


def by_core(book: PriceBook, call: Call, currency: str) -> Charge | Unpriced:
    return price_usage(
        book,
        model=call.name,
        usage=Usage(*call.tokens),
        completed_at=call.completed_at,
        started_at=call.started_at,
        currency=currency,
    )


def check(book: PriceBook, calls: Sequence[Call], currency: str) -> Prices:
    """Every call comes out as the core prices it: amounts, tariff, band, state, savings and flags."""
    prices = price(book, calls, currency)
    found = zip(calls, prices.rows(), prices.start_unknown.tolist(), strict=True)
    savings = prices.cache_savings().tolist(), prices.off_peak_savings().tolist()
    for number, (call, row, start_unknown) in enumerate(found):
        priced = by_core(book, call, currency)
        said = price_columns(priced, ())
        assert row == tuple(said[name] for name in PRICE), call
        assert start_unknown is (said["flags"] == START_UNKNOWN), call
        assert all(type(value) in (int, str, type(None)) for value in row)
        step, amounts = prices.terms.steps[prices.step[number]], [int(column[number]) for column in prices[3:7]]
        amounts += [each[number] for each in savings]
        if isinstance(priced, Charge):
            assert step == priced.step
            assert amounts == [*priced[4:8], priced.cache_savings, priced.off_peak_savings]
        else:
            assert (step, amounts) == (None, [0] * 6)
    return prices


# ----------------------------------------------------------------------------------------------- the built-in book

NEXT_YEAR = """
format = 1
provider = "deepseek"
checked = 2026-12-01
[[tariffs]]
id = "deepseek-v5/2027"
model = "deepseek-v5"
from = 2027-01-01T00:00:00Z
basis = "start"
band = "day"
windows = [{ band = "night", start = "22:00", end = "06:00", zone = "America/New_York" }]
source = "announced"
checked = 2026-12-01
confidence = "C"
[tariffs.USD]
day = { "input.cache_hit" = "9", "input.cache_miss" = "99", output = "999" }
night = { "input.cache_hit" = "10", "input.cache_miss" = "9", output = "99" }
[[names]]
name = "deepseek-v4-pro"
spans = [{ model = "deepseek-v5", from = 2027-01-01T00:00:00Z }]
source = "announced"
"""


@cache
def books() -> tuple[PriceBook, ...]:
    """The built-in book, and what it is with a tariff that goes by the start of a call."""
    return builtin_book(), read_book([builtin_text(), NEXT_YEAR])


CASES = [(number, name) for number in (0, 1) for name in [*builtin_book().names, "unknown"]]
tokens = st.tuples(*[st.integers(0, 3) | st.integers(0, 10**6) | st.integers(0, MAX_TOKENS)] * 3)


@pytest.mark.parametrize("currency", CURRENCIES)
@pytest.mark.parametrize(("number", "name"), CASES)
def test_at_every_edge_and_a_microsecond_beside_it(number: int, name: str, currency: str) -> None:
    book = books()[number]
    edges = [*book.timeline(name, currency).edges, book.horizon]
    counts = [(1, 2, 3), (0, 2, 3), (1, 0, 0), (0, 0, 0), (10**6, 10**5, 10**4)]
    calls: list[Call] = []
    for place, edge in enumerate(edges):
        for apart in NEAR:
            started = (None, edge + apart, edge + apart - timedelta(hours=3))[(place + len(calls)) % 3]
            calls.append(Call(name, max(edge + apart, started or FIRST), started, counts[len(calls) % 5]))
    calls += [Call(name, FIRST, FIRST, (1, 2, 3)), Call(name, LAST, None, (1, 2, 3)), Call(name, LAST, LAST, (1, 2, 3))]
    check(book, calls, currency)


FROM, TO = datetime(2024, 1, 1), datetime(2031, 1, 1)  # noqa: DTZ001  the strategy adds the zone
instants = st.datetimes(FROM, TO, timezones=st.just(UTC)) | st.sampled_from([FIRST, LAST])
elapsed = st.none() | st.timedeltas(timedelta(0), timedelta(days=3)) | st.timedeltas(timedelta(0), timedelta(days=900))


@st.composite
def some_calls(draw: st.DrawFn, names: Sequence[str], instants: st.SearchStrategy[datetime]) -> list[Call]:
    found = []
    for _ in range(draw(st.integers(1, 12))):
        at, took = draw(instants), draw(elapsed)
        started = None if took is None else max(FIRST, at - min(took, at - FIRST))
        found.append(Call(draw(st.sampled_from(names)), at, started, draw(tokens)))
    return found


@given(st.sampled_from([0, 1]), some_calls([*builtin_book().names, "unknown"], instants), st.sampled_from(CURRENCIES))
def test_calls_of_many_names_at_any_instant(number: int, calls: list[Call], currency: str) -> None:
    check(books()[number], calls, currency)


# --------------------------------------------------------------------------------------------------- made-up books

# From nothing to more than 64 bits hold, for the most tokens that a call can have.
rates = st.sampled_from(["0", "0.000001", "1", "2.5", "9223372", "9000000000000"])
days = st.dates(datetime(2025, 1, 1).date(), datetime(2027, 1, 1).date())  # noqa: DTZ001  dates only
zones = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Shanghai", "America/Havana"])
clocks = st.times().map(lambda clock: clock.strftime("%H:%M"))


@st.composite
def some_windows(draw: st.DrawFn) -> list[str]:
    windows = []
    for band in draw(st.lists(st.sampled_from(["one", "two"]), max_size=2)):
        start, end = draw(st.lists(clocks, min_size=2, max_size=2, unique=True))
        holidays = draw(st.sampled_from(["", ', holidays = "holidays"']))
        windows.append(
            f'{{ band = "{band}", start = "{start}", end = "{end}", zone = "{draw(zones)}", '
            f'days = ["mon", "tue", "sat"]{holidays} }}'
        )
    return windows


@st.composite
def some_books(draw: st.DrawFn) -> PriceBook:
    """Up to four tariffs one after another, some with gaps between; bands that lack rates, and each of any basis."""
    parts = [a_name(), a_name("also", '{ model = "demo", from = 2025-07-01T00:00:00Z }')]
    starts = sorted(draw(st.sets(days, min_size=1, max_size=4)))
    for number, start in enumerate(starts):
        windows = draw(some_windows())
        end = draw(days)
        is_closed = start < end and (number + 1 == len(starts) or end <= starts[number + 1])
        bands = ["base", *(band for band in ("one", "two") if any(f'"{band}"' in window for window in windows))]
        meters = draw(st.lists(st.sampled_from(TOKEN_METERS), min_size=1, unique=True))
        parts.append(
            a_tariff(
                f"demo/{number}",
                start=f"{start}T00:00:00Z",
                end=f"{end}T00:00:00Z" if is_closed else None,
                basis=draw(st.sampled_from(["completion", "start"])),
                band="base" if windows else FLAT,
                windows=windows,
                bands={band if windows else FLAT: {m: draw(rates) for m in meters} for band in bands},
                currency=draw(st.sampled_from(["USD", "USD", "CNY"])),
            )
        )
    return a_book(*parts)


@given(st.data())
@settings(deadline=None)
def test_any_book(data: st.DataObject) -> None:
    book = data.draw(some_books())
    edges = [book.horizon, *book.timeline("demo", "USD").edges[:200], *book.timeline("also", "CNY").edges[:200]]
    near = st.sampled_from(edges).flatmap(lambda edge: st.sampled_from(NEAR).map(lambda apart: edge + apart))
    for currency in CURRENCIES[:2]:
        check(book, data.draw(some_calls(["demo", "also", "unknown"], near | instants)), currency)


def test_a_rate_of_none_is_not_a_rate_of_0() -> None:
    bands = {FLAT: {"input.cache_miss": "0", "output": "1"}}
    book = a_book(a_tariff(bands=bands), a_name())
    at = parse_instant("2025-03-03T12:00:00Z")
    prices = check(book, [Call("demo", at, None, counts) for counts in ((0, 5, 2), (1, 5, 2), (0, 0, 0))], "USD")
    assert [row[0] for row in prices.rows()] == ["priced", "unpriced", "priced"]
    assert prices.cost.tolist() == [2_000_000, 0, 0]


def test_the_rates_of_the_start_decide_what_is_unpriced() -> None:
    without_hits = a_tariff("demo/1", bands={FLAT: {"input.cache_miss": "1", "output": "1"}})
    book = a_book(without_hits, a_tariff("demo/2", start="2025-06-01T00:00:00Z", basis="start"), a_name())
    before, after = (parse_instant(f"2025-{day}T12:00:00Z") for day in ("05-31", "06-01"))
    prices = check(book, [Call("demo", after, start, (5, 5, 5)) for start in (before, after, None)], "USD")
    assert [row[0] for row in prices.rows()] == ["unpriced", "priced", "priced"]


def test_the_dearest_band_is_asked_call_by_call() -> None:
    """Of three bands each of two is the dearest for some calls: no band's rates are above the other's in all meters."""
    window = '{{ band = "{}", start = "{}", end = "{}", zone = "UTC" }}'
    windows = [window.format("in", "06:00", "12:00"), window.format("out", "12:00", "18:00")]
    bands = {
        "base": {"input.cache_miss": "1", "output": "1"},
        "in": {"input.cache_miss": "5", "output": "2"},
        "out": {"input.cache_miss": "2", "output": "6"},
    }
    book = a_book(a_tariff(band="base", windows=windows, bands=bands), a_name())
    night, morning = (parse_instant(f"2025-03-03T{hour}:00:00Z") for hour in ("03", "07"))
    calls = [Call("demo", at, None, (0, *counts)) for at in (night, morning) for counts in ((10, 0), (0, 10), (10, 10))]
    # At night 1 and 1: 10 x (5-1), 10 x (6-1), 20 more of both in the out band; in the morning only output is dearer.
    assert check(book, calls, "USD").off_peak_savings().tolist() == [
        40_000_000,
        50_000_000,
        60_000_000,
        0,
        40_000_000,
        10_000_000,
    ]


# ------------------------------------------------------------------------------------------------------ large and many


def test_a_charge_that_passes_64_bits_is_unpriced_and_the_largest_below_is_exact() -> None:
    book = a_book(a_tariff(bands={FLAT: dict.fromkeys(TOKEN_METERS, "9223372036854.775807")}), a_name())
    at = parse_instant("2025-03-03T12:00:00Z")
    calls = [
        Call("demo", at, None, counts) for counts in ((1, 0, 0), (0, 1, 0), (0, 1, 1), (MAX_TOKENS,) * 3, (0, 0, 0))
    ]
    prices = check(book, calls, "USD")
    assert [row[0] for row in prices.rows()] == ["priced", "priced", "unpriced", "unpriced", "priced"]
    assert prices.cost.tolist() == [MAX_AMOUNT, MAX_AMOUNT, 0, 0, 0]
    assert exact_sum(prices.cost) == 2 * MAX_AMOUNT


def test_chunks_follow_each_other_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    start = parse_instant("2025-03-03T12:00:00Z")
    calls = [Call("deepseek-chat", start + number * timedelta(hours=5), None, (0, 0, number)) for number in range(20)]
    whole = price(builtin_book(), calls, "USD")
    monkeypatch.setattr(bulk, "CHUNK", 7)
    parts = [*price_calls(builtin_book(), columns(calls), "USD")]
    assert [len(part.cost) for part in parts] == [7, 7, 6]
    assert [row for part in parts for row in part.rows()] == [*whole.rows()]


def test_a_column_of_names_may_be_of_small_integers() -> None:
    calls = columns([GOOD._replace(name=name) for name in ("deepseek-reasoner", "deepseek-chat", "unknown")])
    small = calls._replace(name=calls.name.astype(np.int8))
    (wide,), (narrow,) = (price_calls(builtin_book(), columns, "USD") for columns in (calls, small))
    assert [*narrow.rows()] == [*wide.rows()]


def test_of_no_calls_there_are_no_prices() -> None:
    assert [*price_calls(builtin_book(), columns([]), "USD")] == []


amounts = st.integers(-MAX_AMOUNT, MAX_AMOUNT) | st.integers(-1000, 1000) | st.just(MAX_AMOUNT)


@given(st.lists(amounts, max_size=50))
def test_a_sum_of_64_bit_amounts_is_exact_past_64_bits(some: list[int]) -> None:
    assert exact_sum(np.array(some, dtype=np.int64)) == sum(some)


def test_a_sum_of_a_million_of_the_largest_amounts_is_exact() -> None:
    for amount in (MAX_AMOUNT, -MAX_AMOUNT, -(2**63)):
        assert exact_sum(np.full(10**6, amount, dtype=np.int64)) == amount * 10**6


# ---------------------------------------------------------------------------------------------------------- refusals

GOOD = Call("deepseek-chat", parse_instant("2025-03-03T12:00:00Z"), parse_instant("2025-03-03T11:59:00Z"), (1, 2, 3))
BROKEN: list[tuple[str, Any, str]] = [
    ("name", np.array([0, 1]), "name 1: "),
    ("name", np.array([0, -1]), "-1"),
    ("completed_at", np.array([0, to_micros(LAST) + 1]), str(to_micros(LAST) + 1)),
    ("completed_at", np.array([0, to_micros(FIRST) - 1]), str(to_micros(FIRST) - 1)),
    ("started_at", np.array([0, to_micros(LAST) + 1]), str(to_micros(LAST) + 1)),
    ("started_at", np.array([0, to_micros(FIRST) - 1]), str(to_micros(FIRST) - 1)),
    ("cache_hit_tokens", np.array([0, -1]), "-1"),
    ("cache_miss_tokens", np.array([0, MAX_TOKENS + 1]), str(MAX_TOKENS + 1)),
    ("output_tokens", np.array([0.0, 1.0]), "float64"),
    ("output_tokens", np.array([0, 1], dtype=np.int32), "int32"),
    ("name", np.array([False, False]), "bool"),
    ("output_tokens", np.array([1]), "1 values"),
]


@pytest.mark.parametrize(("field", "column", "shown"), BROKEN)
def test_what_no_column_of_calls_can_be_is_refused_by_name(field: str, column: Any, shown: str) -> None:
    calls = columns([GOOD, GOOD])._replace(**{field: column})
    with pytest.raises(InputError, match=field) as refused:
        [*price_calls(builtin_book(), calls, "USD")]
    assert shown in str(refused.value)
