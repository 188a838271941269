"""`costmeter prices`: the price book, with its sources and its doubts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line, print_note, print_table
from costmeter.core.errors import NotFoundError, PriceBookError
from costmeter.core.periods import Period, format_instant, parse_instant
from costmeter.core.price_book import Name, PriceBook, Tariff, Window
from costmeter.prices.check import problems

app = typer.Typer(help="The price book: every tariff with its source and its doubts.")
Model = Annotated[str, typer.Argument(help="A model, by the name that callers use.")]
At = Annotated[str | None, typer.Option(help="As of this RFC 3339 instant; default: now.")]
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@app.command("list")
def list_prices(at: At = None, as_json: AsJson = False) -> None:
    """List what each model costs at an instant, by default now."""
    book, instant = wiring.price_book(), _instant(at)
    found = [row for name in book.names for row in _rows_at(book, name, instant)]
    if as_json:
        print_json({"at": format_instant(instant), "edition": book.edition, "prices": found})
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
    name = _name(book, model)
    tariff = next((tariff for tariff, period in book.tariffs_of(model) if instant in period), None)
    if tariff is None:
        raise NotFoundError(f"no tariff for {model!r} at {format_instant(instant)}. {name.retired or ''}".rstrip())
    shown = {"model": model, **_described(tariff), "band_at": {format_instant(instant): tariff.band_at(instant)}}
    if name.doubt:
        shown["doubt_of_name"] = name.doubt
    if as_json:
        print_json(shown)
    else:
        _print_tariff(model, name, tariff, instant)


@app.command()
def history(model: Model, as_json: AsJson = False) -> None:
    """Show every tariff that a model was ever billed by."""
    book = wiring.price_book()
    name = _name(book, model)
    parts = list(book.tariffs_of(model))
    if as_json:
        print_json([{**_described(tariff), **_bounds(period)} for tariff, period in parts])
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
        (*_bounds(period).values(), tariff.tariff_id, currency, band, meter, rate.text, listed.confidence)
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


def _rows_at(book: PriceBook, name: str, instant: datetime) -> list[dict[str, Any]]:
    steps = [book.step_at(name, currency, instant) for currency in ("USD", "CNY")]
    return [
        {
            "model": name,
            "tariff": step.tariff.tariff_id,
            "band": step.band,
            "provisional": step.provisional,
            "currency": step.currency,
            "rates": {m: {"rate": r.text, "per": r.meter.per, "unit": r.meter.unit} for m, r in step.rates.items()},
        }
        for step in steps
        if step is not None
    ]


def _described(tariff: Tariff) -> dict[str, Any]:
    return {
        "tariff": tariff.tariff_id,
        **_bounds(tariff.period),
        "basis": tariff.basis,
        "band_outside_windows": tariff.band,
        "windows": [_window(window) for window in tariff.windows],
        "rates": {
            currency: {
                "source": listed.source,
                "confidence": listed.confidence,
                "bands": {b: {m: r.text for m, r in rates.items()} for b, rates in listed.bands.items()},
            }
            for currency, listed in tariff.rates.items()
        },
        "source": tariff.source,
        "checked": tariff.checked.isoformat(),
        "confidence": tariff.confidence,
        "doubt": tariff.doubt,
    }


def _print_tariff(model: str, name: Name, tariff: Tariff, instant: datetime) -> None:
    bounds = _bounds(tariff.period)
    print_line(f"{model} at {format_instant(instant)}: tariff {tariff.tariff_id}, band {tariff.band_at(instant)}")
    print_line(f"in force  {bounds['from'] or 'open'} to {bounds['to'] or 'open'}, by the {tariff.basis} of the call")
    for window in tariff.windows:
        print_line(f"window    {_window(window)}")
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
    for doubt in (tariff.doubt, name.doubt):
        if doubt:
            print_line(f"doubt     {doubt}")


def _window(window: Window) -> str:
    days = "every day" if len(window.days) == 7 else ", ".join(_DAYS[day] for day in sorted(window.days))
    holidays = f" except holidays of {window.calendar.name}" if window.calendar else ""
    return f"{window.band} {window.start:%H:%M}-{window.end:%H:%M} {window.zone.key}, {days}{holidays}"


def _bounds(period: Period) -> dict[str, str | None]:
    return {
        "from": format_instant(period.start) if period.start else None,
        "to": format_instant(period.end) if period.end else None,
    }


def _name(book: PriceBook, model: str) -> Name:
    if model not in book.names:
        raise NotFoundError(f"the price book has no model {model!r}; it has {', '.join(book.names)}")
    return book.names[model]


def _instant(at: str | None) -> datetime:
    return parse_instant(at, "at") if at is not None else datetime.now(UTC)
