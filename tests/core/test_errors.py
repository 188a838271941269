"""An error names the field, the value and the remedy in one line that shows no key."""

from __future__ import annotations

from typing import Any

import pytest

from costmeter.core.errors import (
    ConflictError,
    CostmeterError,
    InputError,
    NoPriceError,
    NotFoundError,
    PriceBookError,
    SetupError,
    shown,
)

KEY = "sk-0123456789abcdef0123456789abcdef"


def test_an_input_error_names_field_value_and_remedy() -> None:
    error = InputError("completed_at", "yesterday", "write an instant")

    assert str(error) == "completed_at 'yesterday': write an instant"
    assert (error.field, error.value, error.remedy) == ("completed_at", "yesterday", "write an instant")


def test_an_input_error_about_what_is_missing_names_no_value() -> None:
    assert str(InputError("model", None, "is missing")) == "model: is missing"


@pytest.mark.parametrize("error", [InputError, PriceBookError, ConflictError, NoPriceError, NotFoundError, SetupError])
def test_everything_raised_on_purpose_can_be_caught_as_one(error: type[Exception]) -> None:
    assert issubclass(error, CostmeterError)


@pytest.mark.parametrize("error", [PriceBookError, ConflictError])
def test_price_book_errors_and_conflicts_are_input_errors(error: type[Exception]) -> None:
    assert issubclass(error, InputError)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("short", "'short'"),
        ("two\nlines", r"'two\nlines'"),
        (2**63, "9223372036854775808"),
        (True, "True"),
        ("x" * 300, "'" + "x" * 196 + "..."),
        (10**5000, "<int>"),
        (nested(100_000), "<list>"),
    ],
    ids=["short", "lines", "number", "boolean", "long", "endless number", "endless nesting"],
)
def test_a_refused_value_is_shown_in_one_line_of_200_characters(value: object, text: str) -> None:
    assert shown(value) == text
    assert len(text) <= 200


@pytest.mark.parametrize("value", [KEY, f"Bearer {KEY}", ["x", {"key": KEY}], "x" * 50 + " " + KEY])
def test_a_refused_value_is_shown_without_keys(value: object) -> None:
    message = str(InputError("account", value, "name it otherwise"))

    assert KEY[:11] not in message
    assert "fp_" in message
