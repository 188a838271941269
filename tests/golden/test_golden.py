"""The golden table against the built-in price book: README.md beside it says how its rows are worked out."""

import csv
from pathlib import Path

import pytest

from costmeter.core.money import format_amount
from costmeter.core.periods import parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, Unpriced, price_usage
from costmeter.core.usage import Usage
from costmeter.prices.read import builtin_book

TABLE = Path(__file__).with_name("deepseek_charges.csv")
WORKED_OUT = ("status", "band", "tariff_from", "cost_cache_hit", "cost_cache_miss", "cost_output", "cost")


def golden_rows() -> list[dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


ROWS = golden_rows()


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return builtin_book()


def price(book: PriceBook, row: dict[str, str]) -> Charge | Unpriced:
    usage = Usage(
        cache_hit_tokens=int(row["cache_hit_tokens"]),
        cache_miss_tokens=int(row["cache_miss_tokens"]),
        output_tokens=int(row["output_tokens"]),
    )
    instant = parse_instant(row["completed_at"])
    return price_usage(book, model=row["model"], usage=usage, completed_at=instant, currency=row["currency"])


def as_golden(outcome: Charge | Unpriced) -> dict[str, str]:
    if isinstance(outcome, Unpriced):
        return dict.fromkeys(WORKED_OUT, "") | {"status": "unpriced"}
    start = outcome.tariff.period.start
    return {
        "status": "provisional" if outcome.provisional else "priced",
        "band": outcome.band,
        "tariff_from": "" if start is None else start.isoformat().replace("+00:00", "Z"),
        "cost_cache_hit": format_amount(outcome.cost_cache_hit),
        "cost_cache_miss": format_amount(outcome.cost_cache_miss),
        "cost_output": format_amount(outcome.cost_output),
        "cost": format_amount(outcome.total),
    }


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_each_golden_call_has_exactly_its_charge(book: PriceBook, row: dict[str, str]) -> None:
    assert as_golden(price(book, row)) == {column: row[column] for column in WORKED_OUT}


def test_each_golden_name_is_given_once() -> None:
    assert len({row["name"] for row in ROWS}) == len(ROWS)


def test_every_token_tariff_band_and_currency_of_the_book_has_golden_rows(book: PriceBook) -> None:
    charges = [outcome for row in ROWS if isinstance(outcome := price(book, row), Charge)]
    reached = {(charge.tariff.tariff_id, charge.band, charge.currency) for charge in charges}
    in_the_book = {
        (tariff.tariff_id, band, currency)
        for tariff in book.tariffs
        for currency, rates in tariff.rates.items()
        for band, meters in rates.bands.items()
        if "output" in meters
    }
    assert reached == in_the_book
