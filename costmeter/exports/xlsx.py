"""Excel workbooks: numbers as numbers, texts never as formulas or links, a frozen header and a row of totals.

A spreadsheet holds 15 digits of a number. Where a row has a number with more, its last cell, `exact`, says it whole;
the sheet `about` has the exact totals and the digest of the content. Instants are texts, since a date of Excel is
rounded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from typing import IO, Any

import xlsxwriter

from costmeter.core.money import format_amount
from costmeter.exports.cells import units_of
from costmeter.exports.content import Content
from costmeter.exports.export import Kind
from costmeter.store.texts import cells

SHEET_ROWS = 1_048_576  # that Excel has, the header among them
DIGITS = 15
EXACT = "exact"
_PART = 1 << 20
_AMOUNT = "0.00##########"
_NUMBERS = (Kind.INTEGER, Kind.MONEY, Kind.QUANTITY)
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
_MADE = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # the same content is the same file


def xlsx_parts(content: Content) -> Generator[bytes, None, None]:
    """The file, once it is complete: a workbook is a ZIP archive, whose rows wait on the disk and not in memory."""
    with tempfile.TemporaryFile(prefix="costmeter-") as out:
        _write(content, out)
        out.seek(0)
        while part := out.read(_PART):
            yield part


def _write(content: Content, out: IO[bytes]) -> None:
    with xlsxwriter.Workbook(out, _OPTIONS) as workbook:
        workbook.set_properties({"created": _MADE})
        sheets = _Sheets(workbook, content)
        for row in chain.from_iterable(map(cells, content.blocks())):
            sheets.write(row)
        _write_about(workbook, content, sheets.write_totals())
        workbook.set_custom_property("costmeter.kind", content.export.name)
        workbook.set_custom_property("costmeter.content_sha256", content.sha256)


class _Sheets:
    """The sheets of rows: as many as they need."""

    def __init__(self, workbook: Any, content: Content) -> None:
        self._workbook, self._name, self._columns = workbook, content.export.name, content.export.columns
        self._bold = workbook.add_format({"bold": True})
        self._looks = {
            Kind.MONEY: workbook.add_format({"num_format": _AMOUNT}),
            Kind.DAY: workbook.add_format({"num_format": "yyyy-mm-dd"}),
        }
        self._total_looks = {
            Kind.MONEY: workbook.add_format({"bold": True, "num_format": _AMOUNT}),
            Kind.INTEGER: self._bold,
        }
        self._count = 0
        self._sums = {column.name: 0 for column in self._columns if column.kind in (Kind.INTEGER, Kind.MONEY)}
        self._begin()

    def write(self, row: Sequence[str]) -> None:
        """A row, on a new sheet where this one is full."""
        if self._at == SHEET_ROWS:
            self._begin()
        for column, text in zip(self._columns, row, strict=True):
            if text and column.name in self._sums:
                self._sums[column.name] += units_of(text) if column.kind is Kind.MONEY else int(text)
        self._put(row, self._looks)

    def write_totals(self) -> dict[str, str]:
        """A row of what each column of amounts and counts comes to; returns them by name."""
        if self._at == SHEET_ROWS:
            self._begin()
        totals = {
            column.name: format_amount(self._sums[column.name])
            if column.kind is Kind.MONEY
            else str(self._sums[column.name])
            for column in self._columns
            if column.name in self._sums
        }
        self._put([totals.get(column.name, "") for column in self._columns], self._total_looks)
        if self._columns[0].kind not in _NUMBERS:
            self._sheet.write_string(self._at - 1, 0, "total", self._bold)
        return totals

    def _begin(self) -> None:
        self._count += 1
        self._sheet = self._workbook.add_worksheet(self._name if self._count == 1 else f"{self._name} {self._count}")
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_column(0, len(self._columns), 14)
        for place, name in enumerate([*(column.name for column in self._columns), EXACT]):
            self._sheet.write_string(0, place, name, self._bold)
        self._at = 1

    def _put(self, row: Sequence[str], looks: Mapping[Kind, Any]) -> None:
        exact = []
        for place, (column, text) in enumerate(zip(self._columns, row, strict=True)):
            if text == "":
                continue
            if column.kind in _NUMBERS:
                self._sheet.write_number(self._at, place, float(text), looks.get(column.kind))
                if _digits(text) > DIGITS:
                    exact.append(f"{column.name}={text}")
            elif column.kind is Kind.DAY:
                self._sheet.write_datetime(self._at, place, date.fromisoformat(text), looks[Kind.DAY])
            else:
                self._sheet.write_string(self._at, place, text)
        if exact:
            self._sheet.write_string(self._at, len(self._columns), "; ".join(exact))
        self._at += 1


def _digits(text: str) -> int:
    """How many digits of a number a spreadsheet must hold."""
    return len(text.replace(".", "").strip("-0"))


def _write_about(workbook: Any, content: Content, totals: Mapping[str, str]) -> None:
    """What the file is, with totals as exact texts."""
    sheet = workbook.add_worksheet("about")
    sheet.set_column(0, 1, 24)
    facts = {
        "kind": content.export.name,
        "rows": str(content.rows),
        "content_sha256": content.sha256,
        "numbers": f"a spreadsheet holds {DIGITS} digits; the column {EXACT} says numbers that have more",
        **{f"total {name}": text for name, text in totals.items()},
    }
    for place, (name, text) in enumerate(facts.items()):
        sheet.write_string(place, 0, name)
        sheet.write_string(place, 1, text)
