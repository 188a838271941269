"""The formats of an export, and how each is written."""

from __future__ import annotations

from collections.abc import Generator
from enum import StrEnum
from importlib.util import find_spec

from costmeter.core.errors import InputError, SetupError
from costmeter.exports.content import Content
from costmeter.exports.jsonl import jsonl_parts
from costmeter.exports.spreadsheet import csv_parts, preset_of

VERSION = 1  # of the formats: under one, equal rows are equal bytes of CSV and JSONL for ever


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSONL: "application/jsonl",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_NEEDED = {Format.XLSX: "xlsxwriter", Format.PARQUET: "pyarrow"}


def parts(content: Content, form: Format, excel: str | None = None) -> Generator[bytes, None, None]:
    """The bytes of a file, part by part, to be closed before the connection is; `excel` is the locale of a preset.

    Raises InputError for a preset of another format or an unknown locale, and SetupError where the package of a format
    is not installed, both at once.
    """
    if form is Format.CSV:
        return csv_parts(content, None if excel is None else preset_of(excel))
    if excel is not None:
        raise InputError("excel", excel, f"is a preset for csv; leave it out for {form}")
    if form is Format.JSONL:
        return jsonl_parts(content)
    return _installed(form, content)


def _installed(form: Format, content: Content) -> Generator[bytes, None, None]:
    """The parts of a format whose package is an extra, since only those who read such files need it."""
    if find_spec(_NEEDED[form]) is None:
        raise SetupError(f"{form} needs {_NEEDED[form]}, which is not installed: run pip install 'costmeter[finance]'")
    if form is Format.XLSX:
        from costmeter.exports.xlsx import xlsx_parts

        return xlsx_parts(content)
    from costmeter.exports.parquet import parquet_parts

    return parquet_parts(content)
