"""A price is a pure function of stored instants, stored tokens and a dated tariff, exact to the last digit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.money import MAX_AMOUNT, UNITS, format_amount, parse_amount
from costmeter.core.periods import parse_instant
from costmeter.core.price_book import CACHE_HIT, CACHE_MISS, OUTPUT, TOKEN_METERS, PriceBook
from costmeter.core.pricing import START_UNKNOWN, Charge, Line, Unpriced, price_quantities, price_usage
from costmeter.core.usage import MAX_TOKENS, Usage
from costmeter.prices.read import builtin_book, builtin_text, read_book
from tests.books import RATES, a_book, a_name, a_tariff

BOOK = builtin_book()
MILLION = 1_000_000
A_MILLION_OF_EACH = Usage(MILLION, MILLION, MILLION)

counts = st.integers(0, 10**9)
usages = st.builds(Usage, counts, counts, counts)
names = st.sampled_from(list(BOOK.names))
currencies = st.sampled_from(["USD", "CNY"])
instants = st.datetimes(datetime(2024, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def price(
    usage: Usage = A_MILLION_OF_EACH,
    at: str | datetime = "2025-03-01T12:00:00Z",
    *,
    model: str = "deepseek-chat",
    currency: str = "USD",
    book: PriceBook = BOOK,
    started_at: str | None = None,
) -> Charge | Unpriced:
    return price_usage(
        book,
        model=model,
        usage=usage,
        completed_at=parse_instant(at),
        started_at=None if started_at is None else parse_instant(started_at),
        currency=currency,
    )


def charge(*args: Any, **more: Any) -> Charge:
    outcome = price(*args, **more)
    assert isinstance(outcome, Charge), outcome
    return outcome


def reason(*args: Any, **more: Any) -> str:
    outcome = price(*args, **more)
    assert isinstance(outcome, Unpriced), outcome
    return outcome.reason


def usd(text: str) -> int:
    return parse_amount(text)


# --------------------------------------------------------------------------------------------------- properties


@given(usages, usages, names, instants, currencies)
def test_the_price_is_additive_in_tokens(one: Usage, other: Usage, model: str, at: datetime, currency: str) -> None:
    hits, misses, outputs = (a + b for a, b in zip(one[:3], other[:3], strict=True))
    together = Usage(hits, misses, outputs)
    prices = [price(usage, at, model=model, currency=currency) for usage in (one, other, together)]

    if isinstance(prices[2], Unpriced):
        assert any(isinstance(part, Unpriced) for part in prices[:2])
        return
    costs = [(p.cost_cache_hit, p.cost_cache_miss, p.cost_output, p.total) for p in prices if isinstance(p, Charge)]
    assert tuple(a + b for a, b in zip(costs[0], costs[1], strict=True)) == costs[2]


@given(usages, names, instants, currencies, st.integers(0, 10**9))
def test_reasoning_tokens_are_part_of_the_output_and_change_no_price(
    usage: Usage, model: str, at: datetime, currency: str, reasoning: int
) -> None:
    thought = usage._replace(reasoning_tokens=min(reasoning, usage.output_tokens))
    plain, thinking = (price(u, at, model=model, currency=currency) for u in (usage, thought))
    if isinstance(plain, Charge):
        assert isinstance(thinking, Charge)
        assert thinking.total == plain.total
        assert thinking.lines == plain.lines
    else:
        assert thinking == plain


@given(usages, names, instants, currencies)
def test_the_lines_come_to_the_total_by_a_second_way_of_computing(
    usage: Usage, model: str, at: datetime, currency: str
) -> None:
    priced = price(usage, at, model=model, currency=currency)
    if isinstance(priced, Unpriced):
        return

    assert sum(line.amount for line in priced.lines) == priced.total
    amounts = {line.meter: line.amount for line in priced.lines}
    assert [amounts.get(meter, 0) for meter in TOKEN_METERS] == [*priced[4:7]]
    for line in priced.lines:
        assert Fraction(line.amount, UNITS) == line.quantity * Fraction(line.rate) / line.per


LATER = """
format = 1
provider = "deepseek"
checked = 2026-12-01
[[tariffs]]
id = "deepseek-flash/2027"
model = "deepseek-flash"
from = 2027-01-01T00:00:00Z
basis = "completion"
source = "announced"
checked = 2026-12-01
confidence = "C"
[tariffs.USD]
flat = { "input.cache_hit" = "9", "input.cache_miss" = "99", output = "999" }
[tariffs.CNY]
flat = { "input.cache_hit" = "9", "input.cache_miss" = "99", output = "999" }
[[tariffs]]
id = "deepseek-v5/2027"
model = "deepseek-v5"
from = 2027-01-01T00:00:00Z
basis = "start"
source = "announced"
checked = 2026-12-01
confidence = "C"
[tariffs.USD]
flat = { "input.cache_hit" = "9", "input.cache_miss" = "99", output = "999" }
[[names]]
name = "deepseek-v4-pro"
spans = [{ model = "deepseek-v5", from = 2027-01-01T00:00:00Z }]
source = "announced"
"""
WITH_LATER = read_book([builtin_text(), LATER])
CHANGE = parse_instant("2027-01-01T00:00:00Z")


@given(
    usages,
    names,
    currencies,
    instants.filter(lambda instant: instant < CHANGE) | st.sampled_from([CHANGE.replace(year=2026), CHANGE]),
)
def test_a_later_tariff_changes_no_earlier_price(usage: Usage, model: str, currency: str, at: datetime) -> None:
    at = min(at, CHANGE - (CHANGE.resolution))
    before, after = (price(usage, at, model=model, currency=currency, book=book) for book in (BOOK, WITH_LATER))
    if isinstance(before, Unpriced):
        assert after == before
    else:
        assert isinstance(after, Charge)
        assert after.as_dict() == before.as_dict()
        assert after[4:] == before[4:]
        assert (after.cache_savings, after.off_peak_savings) == (before.cache_savings, before.off_peak_savings)


def test_a_later_tariff_counts_from_its_first_instant() -> None:
    for model in ("deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro"):
        assert charge(at="2027-01-01T00:00:00Z", model=model, book=WITH_LATER).total == usd("1107")
        assert charge(at="2026-12-31T23:59:59.999999Z", model=model, book=WITH_LATER).total != usd("1107")


# -------------------------------------------------------------------------------------------- start or completion


def book_by_start() -> PriceBook:
    window = '{ band = "night", start = "00:00", end = "06:00", zone = "UTC" }'
    cheap = dict.fromkeys(RATES, "1")
    by_start = a_tariff(
        "demo/2", start="2025-06-01T00:00:00Z", basis="start", band="day", windows=[window],
        bands={"day": RATES, "night": cheap},
    )  # fmt: skip
    return a_book(a_tariff("demo/1", bands={"flat": dict.fromkeys(RATES, "7")}), by_start, a_name())


@pytest.mark.parametrize(
    ("started_at", "completed_at", "band", "total", "flags"),
    [
        ("2025-06-02T05:59:59.999999Z", "2025-06-02T06:20:00Z", "night", "3", ()),
        ("2025-06-02T06:00:00Z", "2025-06-02T06:20:00Z", "day", "6", ()),
        ("2025-06-01T23:50:00Z", "2025-06-02T00:10:00Z", "day", "6", ()),
        (None, "2025-06-02T00:10:00Z", "night", "3", (START_UNKNOWN,)),
        (None, "2025-06-02T06:00:00Z", "day", "6", (START_UNKNOWN,)),
        # Begun under the tariff before: the tariff in force at completion says that the start decides.
        ("2025-05-31T23:59:59.999999Z", "2025-06-01T00:10:00Z", "flat", "21", ()),
        # Completed under a tariff that goes by completion: the start does not matter, known or not.
        ("2025-05-30T00:00:00Z", "2025-05-31T23:59:59Z", "flat", "21", ()),
        (None, "2025-05-31T23:59:59Z", "flat", "21", ()),
    ],
)
def test_the_tariff_says_which_instant_decides(
    started_at: str | None, completed_at: str, band: str, total: str, flags: tuple[str, ...]
) -> None:
    priced = charge(at=completed_at, started_at=started_at, model="demo", book=book_by_start())
    assert (priced.band, priced.total, priced.flags) == (band, usd(total), flags)


def test_a_call_begun_before_the_first_price_by_start_is_unpriced() -> None:
    book = a_book(a_tariff(basis="start"), a_name())
    assert charge(at="2025-01-01T00:10:00Z", started_at="2025-01-01T00:00:00Z", model="demo", book=book).total
    message = reason(at="2025-01-01T00:10:00Z", started_at="2024-12-31T23:59:59Z", model="demo", book=book)
    assert message == "the price book has no USD tariff for 'demo' at that instant"


def test_the_start_does_not_matter_under_the_rule_of_2025() -> None:
    over_the_edge = charge(at="2025-03-01T16:30:00Z", started_at="2025-03-01T16:29:41Z")
    assert (over_the_edge.band, over_the_edge.total, over_the_edge.flags) == ("off_peak", usd("0.72"), ())


# ------------------------------------------------------------------------------------------------------- unpriced


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"model": "gpt-5"}, "the price book has no model 'gpt-5'"),
        ({"currency": "EUR"}, "the price book has no EUR tariff for 'deepseek-chat' at that instant"),
        (
            {"at": "2026-07-24T15:59:00Z"},
            "the price book has no USD tariff for 'deepseek-chat' at that instant",
        ),
        (
            {"model": "deepseek-reasoner", "at": "2025-01-19T23:59:59Z"},
            "the price book has no USD tariff for 'deepseek-reasoner' at that instant",
        ),
        (
            {"model": "deepseek-ocr", "at": "2026-11-01T00:00:00Z"},
            "the price book has no USD tariff for 'deepseek-ocr' at that instant",
        ),
        ({"at": "2024-08-01T23:59:59Z"}, "tariff deepseek-v2 lists no rate for input.cache_hit"),
        (
            {"model": "deepseek-search", "at": "2026-11-01T00:00:00Z", "usage": Usage(0, 1, 0)},
            "tariff deepseek-search/2026-10-17 lists no rate for input.cache_miss",
        ),
        (
            {"model": "deepseek-search", "at": "2026-11-01T00:00:00Z", "usage": Usage(0, 0, 1)},
            "tariff deepseek-search/2026-10-17 lists no rate for output",
        ),
    ],
)
def test_a_call_without_a_tariff_or_rate_is_unpriced_and_never_zero(call: dict[str, Any], expected: str) -> None:
    assert reason(**call) == expected


def test_a_missing_rate_does_not_matter_where_no_token_asks_for_it() -> None:
    before_caching = charge(Usage(0, MILLION, MILLION), at="2024-08-01T23:59:59Z")

    assert before_caching.total == usd("0.42")
    assert [line.meter for line in before_caching.lines] == [CACHE_MISS, OUTPUT]
    assert charge(Usage(0, 0, 0), at="2024-08-01T23:59:59Z").total == 0


def test_a_charge_is_at_most_what_64_bits_hold() -> None:
    largest = {CACHE_HIT: "0.000001", CACHE_MISS: "1", OUTPUT: "9223372036854.775807"}
    book = a_book(a_tariff(bands={"flat": largest}), a_name())

    # 9223372036854.775807 a million is 9223372.036854775807 for one.
    assert charge(Usage(0, 0, 1), model="demo", book=book).total == MAX_AMOUNT
    message = "the charge or its savings pass 9223372.036854775807 USD, the most that one can be"
    assert reason(Usage(1, 0, 1), model="demo", book=book) == message
    assert reason(Usage(MAX_TOKENS, MAX_TOKENS, MAX_TOKENS), model="deepseek-v4-pro", at="2026-04-24T12:00:00Z",
                  currency="CNY") == message.replace("USD", "CNY")  # fmt: skip


# ---------------------------------------------------------------------------------------- what a charge can tell


def test_a_charge_is_shown_as_the_contract_says() -> None:
    priced = charge(Usage(512, 51, 116, 60), at="2025-03-02T00:30:00+08:00", model="deepseek-reasoner")
    assert priced.as_dict() == {
        "model": "deepseek-reasoner",
        "completed_at": "2025-03-01T16:30:00Z",
        "currency": "USD",
        "tariff": "deepseek-r1/2025-02-26",
        "band": "off_peak",
        "provisional": False,
        "lines": [
            {
                "meter": "input.cache_hit", "quantity": 512, "unit": "tokens", "rate": "0.035", "per": 1_000_000,
                "amount": "0.00001792",
            },
            {
                "meter": "input.cache_miss", "quantity": 51, "unit": "tokens", "rate": "0.135", "per": 1_000_000,
                "amount": "0.000006885",
            },
            {
                "meter": "output", "quantity": 116, "unit": "tokens", "rate": "0.550", "per": 1_000_000,
                "amount": "0.0000638",
            },
        ],
        "total": "0.000088605",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "currency", "at", "cache_savings", "off_peak_savings"),
    [
        # 1M hits: miss rate - hit rate. Off peak: the standard (or peak) amount of 1M each - the amount charged.
        ("deepseek-chat", "USD", "2025-03-01T12:00:00Z", "0.20", "0.00"),  # 0.27 - 0.07
        ("deepseek-chat", "USD", "2025-03-01T16:30:00Z", "0.10", "0.72"),  # 0.135 - 0.035; 1.44 - 0.72
        ("deepseek-reasoner", "USD", "2025-03-01T16:30:00Z", "0.10", "2.16"),  # 2.88 - 0.72
        ("deepseek-reasoner", "CNY", "2025-03-01T16:30:00Z", "0.75", "15.75"),  # 1 - 0.25; 21 - 5.25
        ("deepseek-chat", "USD", "2025-02-20T20:00:00Z", "0.20", "0.00"),  # flat
        ("deepseek-v4-pro", "USD", "2026-09-01T02:00:00Z", "1.276", "0.00"),  # peak: 1.32 - 0.044
        ("deepseek-v4-pro", "USD", "2026-09-01T05:00:00Z", "0.638", "2.662"),  # 0.66 - 0.022; 5.324 - 2.662
    ],
)
def test_savings_are_of_the_charges_own_tariff(
    model: str, currency: str, at: str, cache_savings: str, off_peak_savings: str
) -> None:
    priced = charge(at=at, model=model, currency=currency)
    assert format_amount(priced.cache_savings) == cache_savings
    assert format_amount(priced.off_peak_savings) == off_peak_savings


def test_without_hits_there_are_no_cache_savings_even_where_hits_have_no_rate() -> None:
    assert charge(Usage(0, MILLION, MILLION), at="2024-07-01T00:00:00Z").cache_savings == 0


@pytest.mark.parametrize(
    ("at", "is_provisional"),
    [
        ("2026-12-31T23:59:59+08:00", False),
        ("2027-01-01T00:00:00+08:00", True),
        ("2027-02-08T10:00:00+08:00", True),  # the week of the Spring Festival: by the weekday rule until published
        ("2033-01-03T10:00:00+08:00", True),
    ],
)
def test_a_charge_on_a_day_without_a_published_calendar_is_provisional(at: str, is_provisional: bool) -> None:
    assert charge(at=at, model="deepseek-flash").provisional is is_provisional
    assert charge(at=at, model="deepseek-flash").as_dict()["provisional"] is is_provisional


# --------------------------------------------------------------------------------------------------- other meters


def rates_of(model: str, currency: str, at: str = "2026-11-01T00:00:00Z") -> Mapping[str, Any]:
    step = BOOK.step_at(model, currency, parse_instant(at))
    assert step is not None
    return step.rates


def test_requests_and_pages_are_charged_by_their_own_meters() -> None:
    assert price_quantities(rates_of("deepseek-search", "USD"), {"search": 4, "fetch": 1_000}) == (
        Line("search", 4, "requests", "0.75", 1_000, usd("0.003")),
        Line("fetch", 1_000, "requests", "0.75", 1_000, usd("0.75")),
    )
    assert price_quantities(rates_of("deepseek-ocr", "CNY"), {"ocr": 1}) == (
        Line("ocr", 1, "pages", "1.5", 1_000, usd("0.0015")),
    )


def test_a_quantity_whose_meter_has_no_rate_is_an_error_and_none_of_it_no_line() -> None:
    rates = rates_of("deepseek-search", "CNY")

    assert price_quantities(rates, {"ocr": 0, "search": 0}) == (Line("search", 0, "requests", "5", 1_000, 0),)
    with pytest.raises(KeyError, match="ocr"):
        price_quantities(rates, {"search": 1, "ocr": 1})


@given(st.dictionaries(st.sampled_from(["search", "fetch"]), st.integers(0, 10**12)))
def test_lines_of_any_meters_are_quantity_times_rate(quantities: dict[str, int]) -> None:
    lines = price_quantities(rates_of("deepseek-search", "CNY"), quantities)

    assert [line.meter for line in lines] == list(quantities)
    assert [line.amount for line in lines] == [quantity * UNITS // 200 for quantity in quantities.values()]
