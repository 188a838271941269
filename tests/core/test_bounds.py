"""The most that a call can cost: worked out by hand, and against every second of the time that it can take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.bounds import FRAME, Bound, Unbounded, bound_call, output_limit
from costmeter.core.money import MAX_AMOUNT, format_amount
from costmeter.core.periods import Period, parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, price_usage
from costmeter.core.usage import Usage
from costmeter.prices.read import builtin_book
from tests.books import a_book, a_name, a_tariff

BOOK = builtin_book()
# Minutes before a window opens and closes, before tariffs change, and before a name stands for another model.
EDGES = [
    parse_instant(text)
    for text in (
        "2025-02-08T16:00:00Z", "2025-02-26T16:30:00Z", "2025-03-01T00:30:00Z", "2025-03-01T16:30:00Z",
        "2025-09-05T16:00:00Z", "2026-04-24T00:00:00Z", "2026-04-26T12:15:00Z", "2026-08-22T16:00:00Z",
        "2026-09-10T04:00:00Z", "2026-11-23T01:00:00Z", "2026-11-23T04:00:00Z", "2026-11-23T10:00:00Z",
        "2026-12-31T16:00:00Z", "2029-01-01T00:00:00Z", "2030-03-04T01:00:00Z",
    )
]  # fmt: skip


def bound(
    now: str | datetime,
    *,
    model: str = "deepseek-flash",
    size: int = 1_000,
    currency: str = "USD",
    book: PriceBook = BOOK,
    field: str = "max_tokens",
    **asked: Any,
) -> Bound | Unbounded:
    return bound_call(
        book, asked, size, field=field, model=model, currency=currency, now=parse_instant(now)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "currency", "now", "size", "asked", "cost", "tokens"),
    [
        # 3,048 x 0.30 + 100 x 1.20 a million, at a peak on a Monday
        ("deepseek-flash", "USD", "2026-11-23T02:00:00Z", 1_000, {"max_tokens": 100}, "0.0010344", 3_148),
        # the last instant of which the 31 minutes end before the peak, and the next one
        ("deepseek-flash", "USD", "2026-11-23T00:28:59.999999Z", 1_000, {"max_tokens": 100}, "0.0005172", 3_148),
        ("deepseek-flash", "USD", "2026-11-23T00:29:00Z", 1_000, {"max_tokens": 100}, "0.0010344", 3_148),
        # still the peak's, though it is over a second later
        ("deepseek-flash", "USD", "2026-11-23T03:59:59Z", 1_000, {"max_tokens": 100}, "0.0010344", 3_148),
        ("deepseek-flash", "USD", "2026-11-23T04:00:00Z", 1_000, {"max_tokens": 100}, "0.0005172", 3_148),
        # an alias costs what its model does
        ("deepseek-v4-flash", "CNY", "2026-11-23T02:00:00Z", 0, {"max_tokens": 1}, "0.004104", 2_049),
        # 2,048 x 9 + 393,216 x 27 a million: without max_tokens the model's limit
        ("deepseek-v4-pro", "CNY", "2026-11-23T02:00:00Z", 0, {}, "10.635264", 395_264),
        # 2,611 x 0.27 + 8,192 x 1.10
        ("deepseek-chat", "USD", "2025-03-01T12:00:00Z", 563, {}, "0.00971617", 10_803),
        # three answers of 50 tokens at most
        ("deepseek-chat", "USD", "2025-03-01T12:00:00Z", 563, {"max_tokens": 50, "n": 3}, "0.00086997", 2_761),
        # V3.1 is dearer and can say more: its price and its limit, from fifteen minutes before
        ("deepseek-chat", "USD", "2025-09-05T15:45:00Z", 0, {}, "0.11124736", 67_584),
    ],
)
def test_bounds_worked_out_by_hand(
    model: str, currency: str, now: str, size: int, asked: dict[str, Any], cost: str, tokens: int
) -> None:
    found = bound(now, model=model, currency=currency, size=size, **asked)
    assert isinstance(found, Bound)
    assert (format_amount(found.cost), found.tokens) == (cost, tokens)


def dearest(book: PriceBook, model: str, currency: str, now: datetime, counts: tuple[int, int]) -> int | None:
    """The dearest call of these tokens that begins now, by trying each second at which it may be complete."""
    sent, output = counts
    found = []
    for second in range(31 * 60 + 1):
        for usage in (Usage(sent, 0, output), Usage(0, sent, output)):
            priced = price_usage(
                book, model=model, usage=usage, started_at=now, completed_at=now + timedelta(seconds=second),
                currency=currency,
            )  # fmt: skip
            if not isinstance(priced, Charge):
                return None
            found.append(priced.total)
    return max(found)


@given(
    st.sampled_from(["deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash", "deepseek-flash", "deepseek-v4-pro"]),
    st.sampled_from(["USD", "CNY"]),
    st.builds(lambda edge, before: edge - timedelta(seconds=before), st.sampled_from(EDGES), st.integers(-10, 2_000)),
    st.integers(0, 10**6),
    st.integers(1, 400_000),
)
def test_a_bound_is_what_the_dearest_second_of_the_call_costs(
    model: str, currency: str, now: datetime, size: int, output: int
) -> None:
    found = bound(now, model=model, currency=currency, size=size, max_tokens=output)
    expected = dearest(BOOK, model, currency, now, (size + FRAME, output))
    assert (found.cost if isinstance(found, Bound) else None) == expected


@given(st.integers(0, 4_000), st.integers(1, 5_000))
def test_a_tariff_by_the_start_of_calls_is_bounded_too(seconds: int, output: int) -> None:
    """The start may lie behind the edge as well: the bound is never less, and no more than the dearest band."""
    bands = {"day": {"input.cache_hit": "1", "input.cache_miss": "2", "output": "3"}, "night": {}}
    bands["night"] = {"input.cache_hit": "9", "input.cache_miss": "1", "output": "2"}  # hits are dearer than misses
    window = '{ band = "night", start = "12:00", end = "12:20", zone = "UTC" }'
    book = a_book(a_tariff(basis="start", band="day", windows=[window], bands=bands), a_name())
    now = parse_instant("2025-03-03T11:20:00Z") + timedelta(seconds=seconds)
    found = bound(now, model="demo", book=book, size=10, max_tokens=output)
    naive = dearest(book, "demo", "USD", now, (10 + FRAME, output))
    assert isinstance(found, Bound)
    assert naive is not None
    sent = 10 + FRAME
    assert naive <= found.cost <= max(sent * 2 + output * 3, sent * 9 + output * 2) * 10**6


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_more_bytes_or_more_output_never_cost_less(output: int, more: int) -> None:
    least = bound("2026-11-23T02:00:00Z", size=more, max_tokens=output)
    most = bound("2026-11-23T02:00:00Z", size=more + 1, max_tokens=output + 1)
    assert isinstance(least, Bound)
    assert isinstance(most, Bound)
    assert least < most


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"model": "deepseek-9"}, "the price book has no USD price of 'deepseek-9'"),
        ({"model": "deepseek-ocr"}, "the price book has no USD price of 'deepseek-ocr'"),
        ({"model": "deepseek-chat"}, "the price book has no USD price of 'deepseek-chat' for the next 31 minutes"),
        ({"n": 0}, "n is '0'; write a whole number from 1 on"),
        ({"n": True}, "n is 'True'"),
        ({"best_of": "9"}, "best_of is '9'"),
        ({"max_tokens": 10**30}, "tokens of output would cost more than one call can"),
        ({"previous_response_id": "r-1"}, "what previous_response_id costs does not follow from the request"),
        ({"prompt": {"id": "p-1"}}, "what prompt costs"),
        ({"tools": [{"type": "web_search_20250305"}]}, "what a tool of the type 'web_search_20250305' costs"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]}]},
         "a part of the type 'image_url'"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "a part of the type 'item_reference'"),
        ({"messages": [{"content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]}, "the type 'image'"),
        ({"input": [{"type": "function_call_output", "output": [{"type": "input_file"}]}]}, "the type 'input_file'"),
    ],
)  # fmt: skip
def test_what_has_no_bound_says_why(asked: dict[str, Any], says: str) -> None:
    found = bound("2026-11-23T02:00:00Z", **{"max_tokens": 5, "model": "deepseek-flash", **asked})
    assert isinstance(found, Unbounded)
    assert says in found.reason


def test_a_body_that_is_no_object_has_no_bound() -> None:
    now = parse_instant("2026-11-23T02:00:00Z")
    found = bound_call(BOOK, None, 10, field="max_tokens", model="deepseek-flash", currency="USD", now=now)
    assert isinstance(found, Unbounded)
    assert found.reason.startswith("the body is no JSON object")


@pytest.mark.parametrize(
    "asked",
    [
        {"messages": [{"role": "user", "content": "image_url"}], "tools": [{"type": "function", "function": {}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": ["image"]}, 7, None]}]},
        {"tools": [{"name": "a", "input_schema": {"properties": {"type": {"type": "image"}}}}], "system": "s"},
        {"prompt": "def", "suffix": "end", "tools": "none", "messages": 7},
        {"messages": [{"content": [{"type": "tool_use", "input": {"type": "image"}}]}]},
    ],
)
def test_texts_tools_of_the_caller_and_odd_shapes_have_a_bound(asked: dict[str, Any]) -> None:
    assert isinstance(bound("2026-11-23T02:00:00Z", max_tokens=1, **asked), Bound)


def test_a_length_counts_only_where_the_route_documents_it_and_then_the_largest() -> None:
    now = "2026-11-23T02:00:00Z"

    def tokens(field: str = "max_tokens", **asked: Any) -> int:
        found = bound(now, size=0, field=field, **asked)
        assert isinstance(found, Bound)
        return found.tokens - FRAME

    whole = 393_216
    assert tokens(max_output_tokens=5) == tokens(max_completion_tokens=5) == tokens() == whole
    assert tokens("max_output_tokens", max_tokens=5) == whole
    assert tokens("max_output_tokens", max_output_tokens=5) == tokens(max_tokens=5) == 5
    assert tokens(max_tokens=5, max_completion_tokens=7) == tokens(max_tokens=7, max_completion_tokens=5) == 7
    for odd in (0, -5, True, "5", 5.0, None, [5]):
        assert tokens(max_tokens=odd) == whole


def test_without_a_known_limit_only_a_request_that_says_its_own_has_a_bound() -> None:
    book = a_book(a_tariff(), a_name())
    now = "2025-03-03T12:00:00Z"
    found = bound(now, model="demo", book=book)
    assert isinstance(found, Unbounded)
    assert found.reason == "nobody says how long an answer of 'demo' can be; send max_tokens"
    assert isinstance(bound(now, model="demo", book=book, max_tokens=5), Bound)


def test_a_bound_fits_64_bits_to_the_last_unit() -> None:
    rates = {"input.cache_hit": "0", "input.cache_miss": "0", "output": "1"}
    book = a_book(a_tariff(bands={"flat": rates}), a_name())
    most = MAX_AMOUNT // 10**6
    found = bound("2025-03-03T12:00:00Z", model="demo", book=book, max_tokens=most)
    assert isinstance(found, Bound)
    assert found.cost == most * 10**6
    assert isinstance(bound("2025-03-03T12:00:00Z", model="demo", book=book, max_tokens=most + 1), Unbounded)


def test_the_limit_of_a_name_is_that_of_its_models_while_they_answer() -> None:
    at = datetime(2025, 9, 5, 16, tzinfo=UTC)
    minute = timedelta(minutes=1)
    assert output_limit(BOOK, "deepseek-chat", Period(at - minute, at)) == 8_192
    assert output_limit(BOOK, "deepseek-chat", Period(at - minute, at + minute)) == 65_536
    assert output_limit(BOOK, "deepseek-coder", Period(at - 365 * 24 * 60 * minute, at)) is None
    assert output_limit(BOOK, "no-such", Period(at, at + minute)) is None
