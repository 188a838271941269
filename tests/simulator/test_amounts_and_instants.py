"""Amounts and instants as text."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.simulator.errors import BadInputError
from costmeter.simulator.instants import format_instant, parse_instant
from costmeter.simulator.money import UNIT, format_amount, parse_amount


@given(st.integers(-(10**30), 10**30))
def test_an_amount_shows_every_digit_and_no_more(units: int) -> None:
    text = format_amount(units)
    decimals = text.partition(".")[2]

    assert Fraction(text) * UNIT == units
    assert 2 <= len(decimals) <= 12
    assert len(decimals) == 2 or not decimals.endswith("0")


@given(st.integers(0, 10**20))
def test_an_amount_comes_back_as_it_went(units: int) -> None:
    assert parse_amount(format_amount(units), "amount") == units


@pytest.mark.parametrize(
    "value", ["", "five", "-1", "+1", "1e3", "1.", ".5", " 1", "1,5", "0.0000000000001", 5, 5.0, None, "٣"]
)
def test_what_is_not_an_exact_amount_is_refused(value: object) -> None:
    with pytest.raises(BadInputError, match=r"amount .*: write a decimal string"):
        parse_amount(value, "amount")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2025-03-01T16:30:00Z", "2025-03-01T16:30:00Z"),
        ("2025-03-02T00:30:00+08:00", "2025-03-01T16:30:00Z"),
        ("2025-03-01t16:30:00.5z", "2025-03-01T16:30:00.500000Z"),
        ("2025-03-01T16:30:00.000001Z", "2025-03-01T16:30:00.000001Z"),
    ],
)
def test_an_instant_is_shown_in_utc(text: str, shown: str) -> None:
    assert format_instant(parse_instant(text, "now")) == shown


@pytest.mark.parametrize(
    "value",
    [
        "2025-03-01",
        "2025-03-01T16:30:00",
        "20250301T163000Z",
        "2025-02-30T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        0,
        None,
    ],
)
def test_what_is_not_one_instant_is_refused(value: object) -> None:
    with pytest.raises(BadInputError, match=r"now .*: write an instant with its offset"):
        parse_instant(value, "now")


def test_parsing_gives_utc() -> None:
    assert parse_instant("2025-03-02T00:30:00+08:00", "now") == datetime(2025, 3, 1, 16, 30, tzinfo=UTC)
