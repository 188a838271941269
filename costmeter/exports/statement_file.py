"""A statement as a file: the formats that it can be had in, each made from its JSON alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from costmeter.exports.statement_csv import write_statement_csv
from costmeter.exports.statement_page import statement_html, statement_pdf

Shape = dict[str, Any]


class StatementFile(NamedTuple):
    """One format: what it is called, whether it also tells what the month teaches, and how it is made.

    `render` raises SetupError where a package that it needs is not installed.
    """

    media_type: str
    has_lessons: bool
    render: Callable[[Shape], bytes]


def _csv(shape: Shape) -> bytes:
    out = io.StringIO()
    write_statement_csv(shape, out)
    return out.getvalue().encode()


def _html(shape: Shape) -> bytes:
    return statement_html(shape).encode()


STATEMENT_FILES: Mapping[str, StatementFile] = {
    "json": StatementFile("application/json", False, msgspec.json.encode),
    "csv": StatementFile("text/csv", False, _csv),
    "html": StatementFile("text/html", True, _html),
    "pdf": StatementFile("application/pdf", True, statement_pdf),
}
