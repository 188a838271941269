"""Money is exact: whole numbers of 10^-12, decimal strings in and out, and never a float."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.money import (
    MAX_AMOUNT,
    UNITS,
    check_currency,
    format_amount,
    parse_amount,
    parse_rate,
)

NOT_DECIMAL = 'write a decimal string without exponent, such as "5.00"'
amounts = st.integers(-MAX_AMOUNT, MAX_AMOUNT)


@given(amounts)
def test_an_amount_written_out_reads_back_as_itself(units: int) -> None:
    assert parse_amount(format_amount(units)) == units


@given(st.integers(-(10**40), 10**40))
def test_an_amount_is_written_with_every_digit_and_no_exponent_however_large(units: int) -> None:
    text = format_amount(units)
    whole, _, decimals = text.removeprefix("-").partition(".")

    assert int(whole + decimals.ljust(12, "0")) == abs(units)
    assert text.startswith("-") == (units < 0)
    assert 2 <= len(decimals) <= 12
    assert len(decimals) == 2 or not decimals.endswith("0")
    assert whole == "0" or not whole.startswith("0")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-9_000_000, max_value=9_000_000, places=12))
def test_an_amount_is_the_decimal_that_it_says(value: Decimal) -> None:
    assert parse_amount(f"{value:f}") == int(value.scaleb(12))


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0.00"),
        (1, "0.000000000001"),
        (-1, "-0.000000000001"),
        (45_070_000, "0.00004507"),
        (5 * UNITS, "5.00"),
        (5 * UNITS + UNITS // 10, "5.10"),
        (-UNITS // 50, "-0.02"),
        (MAX_AMOUNT, "9223372.036854775807"),
        (2**63, "9223372.036854775808"),
    ],
)
def test_amounts_are_written_as_the_contract_says(units: int, text: str) -> None:
    assert format_amount(units) == text


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("5", 5 * UNITS),
        ("+5.00", 5 * UNITS),
        ("007.5", 7 * UNITS + UNITS // 2),
        ("-0.00", 0),
        ("0.0000000000010000000", 1),
        ("9223372.036854775807", MAX_AMOUNT),
        ("-9223372.036854775807", -MAX_AMOUNT),
    ],
)
def test_plain_decimals_are_read(text: str, units: int) -> None:
    assert parse_amount(text) == units


@pytest.mark.parametrize(
    "value",
    [
        1.5, 5, True, None, Decimal(5), b"5", "", " ", "5 ", " 5", "5\n", "1e3", "1E-3", "5.", ".5", "--5", "1,000",
        "1_000", "0x10", "nan", "inf", "٣", "USD 5", "9" * 5000, "0." + "1" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_plain_decimal_string_is_refused_by_name(value: object) -> None:
    with pytest.raises(InputError) as refusal:
        parse_amount(value, "credit.amount")

    assert str(refusal.value).startswith("credit.amount")
    assert str(refusal.value).endswith(f": {NOT_DECIMAL}")


@pytest.mark.parametrize("text", ["0.0000000000001", "1.0000000000005", "-0.0000000000019"])
def test_an_amount_finer_than_the_unit_is_refused_and_not_rounded(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_amount(text)

    assert str(refusal.value) == f"amount '{text}': finer than 10^-12, the unit of the ledger; round it at its source"


@pytest.mark.parametrize("text", ["9223372.036854775808", "-9223372.036854775808", "10000000", "1" + "0" * 400])
def test_an_amount_past_64_bits_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"one amount is at most 9223372\.036854775807; split it$"):
        parse_amount(text)


@given(st.integers(0, 10**9), st.integers(0, 6))
def test_a_rate_per_million_with_six_decimals_is_exact_for_one_token(digits: int, places: int) -> None:
    text = f"{Decimal(digits).scaleb(-places):f}"
    assert Decimal(parse_rate(text, 1_000_000)).scaleb(-6) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "per", "units"),
    [
        ("0.07", 1_000_000, 70_000),
        ("0.550", 1_000_000, 550_000),
        ("0.003625", 1_000_000, 3_625),
        ("0.75", 1_000, 750_000_000),
        ("0", 1_000_000, 0),
        ("1.5", 1, 1_500_000_000_000),
        ("9223372.036854775807", 1, MAX_AMOUNT),
    ],
)
def test_a_rate_becomes_the_price_of_one_unit(text: str, per: int, units: int) -> None:
    assert parse_rate(text, per) == units


@pytest.mark.parametrize(
    ("value", "per", "remedy"),
    [
        ("0.0000001", 1_000_000, "not a whole number of 10^-12 for one unit (printed per 1000000)"),
        ("1", 3, "not a whole number of 10^-12 for one unit (printed per 3)"),
        ("-0.07", 1_000_000, "a rate is neither negative nor above 64 bits"),
        ("9223372.036854775808", 1, "a rate is neither negative nor above 64 bits"),
        (0.07, 1_000_000, NOT_DECIMAL),
        ("7e-2", 1_000_000, NOT_DECIMAL),
    ],
)
def test_a_rate_that_cannot_be_exact_is_refused_by_name(value: object, per: int, remedy: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_rate(value, per, "tariffs.x.USD.flat.output")

    assert str(refusal.value) == f"tariffs.x.USD.flat.output {value!r}: {remedy}"


@pytest.mark.parametrize("currency", ["USD", "CNY"])
def test_both_currencies_of_the_vendor_are_known(currency: str) -> None:
    assert check_currency(currency) == currency


@pytest.mark.parametrize("currency", ["EUR", "usd", "", None, 1, ["USD"]])
def test_any_other_currency_is_refused(currency: object) -> None:
    with pytest.raises(InputError, match=r"^currency.*: use one of USD, CNY$"):
        check_currency(currency)
