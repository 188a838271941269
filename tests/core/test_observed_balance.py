"""DeepSeek's balance as exact amounts, and what printing two decimals leaves open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.money import UNITS, format_amount
from costmeter.core.observed_balance import PRECISION, Pots, read_balance


def an_answer(total: object = "110.00", granted: object = "10.00", topped_up: object = "100.00", **more: Any) -> Any:
    """DeepSeek's answer, with one balance in USD."""
    amounts = {"total_balance": total, "granted_balance": granted, "topped_up_balance": topped_up}
    return {"is_available": True, "balance_infos": [{"currency": "USD", **amounts, **more}]}


def test_the_official_example(shared: Path) -> None:
    body = json.loads((shared / "fixtures" / "balance_docs_example.json").read_text())
    seen = read_balance(body, "CNY")
    assert (seen.currency, *map(format_amount, (*seen.pots, seen.total))) == ("CNY", "10.00", "100.00", "110.00")
    assert seen.body == body


def test_of_several_currencies_the_one_asked_for_counts() -> None:
    body = an_answer()
    body["balance_infos"].insert(0, {**body["balance_infos"][0], "currency": "CNY", "granted_balance": "9999.00"})
    assert read_balance(body, "USD").pots == Pots(10 * UNITS, 100 * UNITS)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("-0.02", -UNITS // 50),
        ("-0.00", 0),
        ("0", 0),
        ("12345678901234567890.12", 1234567890123456789012 * UNITS // 100),
    ],
)
def test_amounts_are_signed_and_of_any_size(text: str, units: int) -> None:
    assert read_balance(an_answer(text, "0.00", text), "USD").pots == Pots(0, units)


def test_what_else_the_answer_has_is_not_kept() -> None:
    kept = read_balance(an_answer(owner="somebody") | {"email": "somebody"}, "USD").body
    assert "somebody" not in repr(kept)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (None, "balance_infos: is no list of balances"),
        ([], "balance_infos: is no list"),
        ({"balance_infos": "1.00"}, "balance_infos '1.00': is no list"),
        ({"balance_infos": [1]}, r"balance_infos \[1\]: is no list"),
        ({"balance_infos": []}, r"currency \[\]: has not one balance in USD, the account's"),
        (an_answer(1.5), "total_balance 1.5: write a decimal string"),
        (an_answer("NaN"), "total_balance 'NaN': write a decimal string"),
        (an_answer(granted=None), "granted_balance: write a decimal string"),
        (an_answer("110.02"), "total_balance '110.02': is not granted and topped up together"),
    ],
)
def test_an_answer_of_another_shape_is_refused_by_name(body: object, error: str) -> None:
    with pytest.raises(InputError, match=error):
        read_balance(body, "USD")


def test_two_balances_of_one_currency_are_refused() -> None:
    body = an_answer()
    body["balance_infos"] *= 2
    with pytest.raises(InputError, match="has not one balance in USD"):
        read_balance(body, "USD")


cents = st.integers(-(10**20), 10**20)


@given(cents, cents, st.sampled_from(["half up", "down", "floor"]))
def test_however_the_vendor_rounds_equal_balances_agree(granted: int, topped_up: int, how: str) -> None:
    def printed(units: int) -> int:
        if how == "floor":
            return units // PRECISION * PRECISION
        cut = (abs(units) + (PRECISION // 2 if how == "half up" else 0)) // PRECISION * PRECISION
        return -cut if units < 0 else cut

    difference = Pots(printed(granted), printed(topped_up)).less(Pots(granted, topped_up))
    assert difference.is_within_precision
    assert not Pots(difference.granted + PRECISION, difference.topped_up + 2 * PRECISION).is_within_precision
