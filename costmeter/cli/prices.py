"""`costmeter prices`: the price book, with its sources and its doubts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from costmeter import wiring
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line, print_note, print_table
from costmeter.core.errors import PriceBookError
from costmeter.core.periods import format_instant, parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.prices.check import problems
from costmeter.reports.prices import (
    bounds,
    known_name,
    limit_at,
    price_history,
    price_shape,
    prices_at,
    tariff_at,
    window_text,
)

app = typer.Typer(help="The price book: every tariff with its source and its doubts.")
Model = Annotated[str, typer.Argument(help="A model, by the name that callers use.")]
At = Annotated[str | None, typer.Option(help="As of this RFC 3339 instant; default: now.")]


@app.command("list")
def list_prices(at: At = None, as_json: AsJson = False) -> None:
    """List what each model costs at an instant, by default now."""
    book, instant = wiring.price_book(), _instant(at)
    shown = prices_at(book, instant)
    found = shown["prices"]
    if as_json:
        print_json(shown)
        return
    columns = {
        "model": "left",
        "tariff": "left",
        "band": "left",
        "currency": "left",
        "meter": "left",
        "rate": "right",
        "per": "right",
    }
    rows = [
        (
            row["model"],
            row["tariff"],
            row["band"],
            row["currency"],
            meter,
            rate["rate"],
            f"{rate['per']:,} {rate['unit']}",
        )
        for row in found
        for meter, rate in row["rates"].items()
    ]
    print_table(columns, rows, title=f"prices at {format_instant(instant)}, edition {book.edition[:12]}")


@app.command()
def show(model: Model, at: At = None, as_json: AsJson = False) -> None:
    """Show the tariff of a model at an instant: bands, windows, rates, source, and what is in doubt."""
    book, instant = wiring.price_book(), _instant(at)
    if as_json:
        print_json(price_shape(book, model, instant))
    else:
        _print_tariff(book, model, instant)


@app.command()
def history(model: Model, as_json: AsJson = False) -> None:
    """Show every tariff that a model was ever billed by."""
    book = wiring.price_book()
    name = known_name(book, model)
    parts = list(book.tariffs_of(model))
    if as_json:
        print_json(price_history(book, model))
        return
    columns = {
        "from": "left",
        "to": "left",
        "tariff": "left",
        "currency": "left",
        "band": "left",
        "meter": "left",
        "rate": "right",
        "confidence": "left",
    }
    rows = [
        (*bounds(period).values(), tariff.tariff_id, currency, band, meter, rate.text, listed.confidence)
        for tariff, period in parts
        for currency, listed in tariff.rates.items()
        for band, rates in listed.bands.items()
        for meter, rate in rates.items()
    ]
    print_table(columns, [[cell or "open" for cell in row] for row in rows], title=f"price history of {model}")
    if name.retired:
        print_line(name.retired)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check the price book. Exit 1 on an overlap, an unexplained gap, a missing source or a calendar about to end."""
    try:
        book = wiring.price_book()
        found = problems(book, datetime.now(UTC))
    except PriceBookError as error:
        book, found = None, [str(error)]
    if as_json:
        print_json({"edition": book.edition if book else None, "problems": found})
    else:
        for problem in found:
            print_note(problem)
        if not found and book:
            print_line(
                f"{len(book.tariffs)} tariffs of {len(book.names)} models, edition {book.edition[:12]}: no problems"
            )
    raise typer.Exit(int(bool(found)))


def _print_tariff(book: PriceBook, model: str, instant: datetime) -> None:
    name, tariff, limit = known_name(book, model), tariff_at(book, model, instant), limit_at(book, model, instant)
    period = bounds(tariff.period)
    print_line(f"{model} at {format_instant(instant)}: tariff {tariff.tariff_id}, band {tariff.band_at(instant)}")
    print_line(f"in force  {period['from'] or 'open'} to {period['to'] or 'open'}, by the {tariff.basis} of the call")
    for window in tariff.windows:
        print_line(f"window    {window_text(window)}")
    rows = [
        (currency, band, meter, rate.text, f"{rate.meter.per:,} {rate.meter.unit}", listed.confidence)
        for currency, listed in tariff.rates.items()
        for band, rates in listed.bands.items()
        for meter, rate in rates.items()
    ]
    print_table(
        {"currency": "left", "band": "left", "meter": "left", "rate": "right", "per": "right", "confidence": "left"},
        rows,
    )
    print_line(f"source    {tariff.source} (checked {tariff.checked}, confidence {tariff.confidence})")
    for currency, listed in tariff.rates.items():
        if listed.source != tariff.source:
            print_line(f"{currency:<9} {listed.source} (confidence {listed.confidence})")
    if limit is not None:
        print_line(f"output    at most {limit.tokens:,} tokens: {limit.source} (confidence {limit.confidence})")
    for doubt in (tariff.doubt, name.doubt, limit.doubt if limit else None):
        if doubt:
            print_line(f"doubt     {doubt}")


def _instant(at: str | None) -> datetime:
    return parse_instant(at, "at") if at is not None else datetime.now(UTC)
