"""A console's export beside what is recorded, as one page for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from costmeter.exports.page_table import Kind, PageTable, Row, clock, lay_out, pieces
from costmeter.exports.templates import template

_DECIMALS = 2


def comparison_html(found: Mapping[str, Any]) -> str:
    """The result of a comparison, in the shape that `reconcile export --json` prints, as one self-contained page."""
    tables = [lay_out(one, _DECIMALS) for one in _tables(found)]
    return template("comparison").render(found=found, tables=tables, pieces=pieces)


def _tables(found: Mapping[str, Any]) -> Iterator[PageTable]:
    if found["differences"]:
        yield _differences(found)
    if found["refused"]:
        columns = [("Place", Kind.TEXT), ("Refused, and not compared", Kind.TEXT)]
        yield PageTable("Refused rows", columns, [Row([one["place"], one["error"]]) for one in found["refused"]])


def _differences(found: Mapping[str, Any]) -> PageTable:
    texts = ("From (UTC)", "To (UTC)", "Model", "What", "Meter")
    amounts = ("Price per 1M", "In the books", "In the export", "Difference")
    columns = [*((name, Kind.TEXT) for name in texts), *((name, Kind.AMOUNT) for name in amounts)]
    rows = [
        Row([clock(one["from"]), clock(one["to"]), one["model"], one["kind"].replace("_", " "), one["meter"],
             one["price_per_million"], one["recorded"], one["exported"], one["difference"]])
        for one in found["differences"]
    ]  # fmt: skip
    return PageTable("What differs", columns, rows)
