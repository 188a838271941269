"""Messages are plain words with exact amounts; tests/golden/notices.txt has one of every kind.

To write it anew after a change of words: python -m tests.core.test_notices > tests/golden/notices.txt
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.money import UNITS, format_amount
from costmeter.core.notice_kinds import KINDS
from costmeter.core.notices import Notice, as_text, compose, exact, in_url, money, share
from tests.alerts.examples import EXAMPLES, examples
from tests.alerts.messages import NOTICE_ID, NOW, a_message, a_notice
from tests.make import at

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "notices.txt"


def all_texts() -> str:
    """Every example as people read it."""
    return "\n".join(f"## {one.kind}, {one.event}\n\n# {one.title}\n\n{as_text(one)}" for one in examples())


def test_every_message_says_what_it_is_known_to_say() -> None:
    assert all_texts() == GOLDEN.read_text(encoding="utf-8")


def test_there_is_an_example_of_every_kind() -> None:
    assert KINDS.keys() <= {kind for kind, *_ in EXAMPLES}


@pytest.mark.parametrize(
    ("amount", "unit", "rounded", "whole"),
    [
        ("412.350000004507", "USD", "412.35 USD", "412.350000004507 USD"),
        ("1234567.895", "CNY", "1,234,567.90 CNY", "1234567.895 CNY"),
        ("0.00004507", "USD", "0.000045 USD", "0.00004507 USD"),
        ("0.5", "USD", "0.50 USD", "0.50 USD"),
        ("0.00", "USD", "0.00 USD", "0.00 USD"),
        ("-0.31", "USD", "-0.31 USD", "-0.31 USD"),
        ("-1234.5", "USD", "-1,234.50 USD", "-1234.50 USD"),
        ("1234567", "tokens", "1,234,567 tokens", "1,234,567 tokens"),
    ],
)
def test_amounts_are_rounded_for_reading_and_exact_beside(amount: str, unit: str, rounded: str, whole: str) -> None:
    assert (money(amount, unit), exact(amount, unit)) == (rounded, whole)


@given(st.integers(0, 10**30), st.integers(1, 10**30))
def test_a_share_never_shows_what_is_not_reached(part: int, whole: int) -> None:
    shown = share(part, whole).removesuffix(" %")
    tenths = int(shown.replace(".", ""))
    assert tenths * whole <= part * 1000 < (tenths + 1) * whole


@given(st.integers(-(10**30), 10**30))
def test_a_rounded_amount_is_off_by_less_than_it_shows(units: int) -> None:
    shown = money(format_amount(units), "USD").removesuffix(" USD").replace(",", "")
    decimals = len(shown.partition(".")[2])
    off = abs(int(shown.replace(".", "")) * 10 ** (12 - decimals) - units)
    assert off * 2 <= 10 ** (12 - (2 if abs(units) >= UNITS else 6))


@given(st.text(st.characters(codec="utf-8")))
def test_a_part_of_a_url_is_one_whatever_it_is(text: str) -> None:
    assert not {*in_url(text)} & {*"/?#& \n"}
    assert unquote(in_url(text)) == text


@given(st.sampled_from(EXAMPLES), st.data())
def test_whatever_a_fact_is_something_is_told(
    example: tuple[str, str, dict[str, Any], str], data: st.DataObject
) -> None:
    kind, event, facts, account = example
    changed = {**facts, data.draw(st.sampled_from(sorted(facts))): data.draw(anything)}
    message = compose(Notice(account, NOTICE_ID, kind, event, "a subject", changed, at(NOW)), KINDS, site=None)
    assert message.title
    assert "\n" not in message.title
    assert as_text(message).endswith(f"See: {message.command}\n")
    assert all(isinstance(value, str) for _, value in message.lines)


def test_a_link_names_the_budget_and_its_account_whatever_they_are_called() -> None:
    message = a_message(budget="a/b & c", account="x y", site="https://costmeter.example/meter/")
    assert message.url == "https://costmeter.example/meter/budgets/a%2Fb%20%26%20c?account=x%20y"


def test_the_same_facts_are_the_same_message() -> None:
    assert a_message() == a_message()
    assert compose(a_notice(), KINDS, site=None).url is None


if __name__ == "__main__":
    sys.stdout.write(all_texts())
