"""`costmeter quote`: the price of one call, line by line, or of many."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line, print_note, print_table
from costmeter.core.errors import CostmeterError, InputError
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.core.pricing import Charge
from costmeter.core.usage import Usage
from costmeter.services.quote_call import quote_call


def quote(
    model: Annotated[str | None, typer.Option(help="The model, as the response names it.")] = None,
    completed_at: Annotated[str | None, typer.Option(help="When the call completed (RFC 3339).")] = None,
    cache_hit: Annotated[int, typer.Option(help="Input tokens that hit the cache.")] = 0,
    cache_miss: Annotated[int, typer.Option(help="Input tokens that missed it.")] = 0,
    output: Annotated[int, typer.Option(help="Output tokens, reasoning included.")] = 0,
    started_at: Annotated[str | None, typer.Option(help="When it was sent; only some tariffs go by it.")] = None,
    currency: Annotated[str, typer.Option(help="USD or CNY.")] = "USD",
    file: Annotated[
        Path | None, typer.Option(help="An NDJSON file of {model, completed_at, usage}, - for stdin.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The price of one call, line by line; with --file, of many. Exit 1 where there is no price."""
    if file is not None:
        raise typer.Exit(_quote_file(file, currency))
    if model is None or completed_at is None:
        missing = "model" if model is None else "completed-at"
        raise InputError(f"--{missing}", None, "is missing; give --model and --completed-at, or --file")
    charge = quote_call(
        wiring.price_book(),
        model=model,
        completed_at=completed_at,
        usage=Usage(cache_hit, cache_miss, output),
        currency=currency,
        started_at=started_at,
    )
    if as_json:
        print_json(charge.as_dict())
    else:
        _print(charge)


def _print(charge: Charge) -> None:
    print_line(f"{charge.model} completed at {format_instant(charge.completed_at)}")
    provisional = " (provisional: the holiday calendar is not published yet)" if charge.provisional else ""
    print_line(f"tariff {charge.tariff.tariff_id}, band {charge.band}{provisional}")
    rows = [
        (line.meter, f"{line.quantity:,}", line.unit, f"{line.rate} per {line.per:,}", format_amount(line.amount))
        for line in charge.lines
    ]
    columns = {"meter": "left", "quantity": "right", "unit": "left", "rate": "right", charge.currency: "amount"}
    print_table(columns, rows, total=("total", "", "", "", format_amount(charge.total)))


def _quote_file(file: Path, currency: str) -> int:
    """Quotes one JSON object a line, in order; what has no price says so in its place."""
    failed = False
    for place, text in enumerate(_lines(file), start=1):
        try:
            print_line(json.dumps(_quote_line(text, currency).as_dict(), ensure_ascii=False))
        except CostmeterError as error:
            failed = True
            print_line(json.dumps({"line": place, "error": str(error)}, ensure_ascii=False))
    if failed:
        print_note("costmeter: some lines have no price; see the lines with an error")
    return int(failed)


def _quote_line(text: str, currency: str) -> Charge:
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("line", text, f"is no JSON: {error}") from None
    if not isinstance(body, Mapping):
        raise InputError("line", body, "write one JSON object a line")
    usage, model = body.get("usage"), body.get("model")
    if not isinstance(usage, Mapping) or not isinstance(model, str):
        raise InputError("line", body, "needs model, completed_at and usage")
    return quote_call(
        wiring.price_book(),
        model=model,
        completed_at=body.get("completed_at", ""),
        usage=usage,
        currency=body.get("currency", currency),
        started_at=body.get("started_at"),
    )


def _lines(file: Path) -> Iterator[str]:
    try:
        with nullcontext(sys.stdin) if str(file) == "-" else file.open(encoding="utf-8") as stream:
            yield from (line for line in stream if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("--file", str(file), f"cannot be read: {error}") from error
