"""A statement as one page for people, on the screen and as a PDF: everything in it, nothing from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from costmeter.core.errors import SetupError
from costmeter.exports import statement_tables as tables
from costmeter.exports.page_table import PageTable, clock, lay_out, pieces, rounded
from costmeter.exports.statement_tables import COUNTS, Shape
from costmeter.exports.templates import template

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
# What weasyprint needs of the system, and fonts for what people call their projects; by their names in Debian.
PACKAGES = ("libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0", "fonts-dejavu-core", "fonts-noto-cjk")


def statement_html(shape: Shape) -> str:
    """The statement of a month as one self-contained page: no script, and nothing that is loaded from elsewhere.

    `shape` is a statement's JSON. Every amount stands there with all its digits; beside it stands a column that is
    rounded for reading. Raises SetupError where the extra `finance` is not installed.
    """
    year, month = shape["month"].split("-")
    decimals = shape["rounding"]["decimals"]
    return template("statement").render(
        statement=shape,
        closing=shape["closing"],
        month=f"{MONTHS[int(month) - 1]} {year}",
        glance=_at_a_glance(shape, decimals),
        tables=[lay_out(table, decimals) for table in _tables(shape)],
        counts=[(shape["counts"][name], text) for name, text in COUNTS.items() if shape["counts"].get(name)],
        clock=clock,
        pieces=pieces,
    )


def statement_pdf(shape: Shape) -> bytes:
    """The same page as a PDF of A4 sheets; one version of weasyprint and one set of fonts give the same bytes.

    Its metadata hold the title and the hash of the closing. Raises SetupError where weasyprint or the libraries of
    the system that it needs are not installed.
    """
    return _printed(statement_html(shape))


def _printed(html: str) -> bytes:
    """A page as a PDF. It refers to nothing; should it ever, nothing is fetched."""
    weasyprint = _weasyprint()
    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=())
    identifier = hashlib.sha256(html.encode()).hexdigest()[:32].encode()
    pdf: bytes = weasyprint.HTML(string=html, url_fetcher=fetcher).write_pdf(pdf_identifier=identifier, pdf_tags=True)
    return pdf


def _tables(shape: Shape) -> Iterator[PageTable]:
    """The statement's tables in reading order; what there is nothing of is left out."""
    yield tables.balance_table(shape)
    if shape["credits"]:
        yield tables.credits_table(shape)
    if shape["expiries"]:
        yield tables.expiries_table(shape)
    if shape["usage"]:
        yield tables.usage_table(shape)
        yield tables.paid_table(shape)
    if shape["adjustments"]:
        yield tables.adjustments_table(shape)
    yield from tables.showback_tables(shape)
    if shape["imported"]:
        yield tables.imported_table(shape)
    if shape.get("lessons"):
        yield tables.savings_table(shape)
        yield from tables.movers_tables(shape)


def _at_a_glance(shape: Shape, decimals: int) -> list[tuple[str, str, str]]:
    """The three figures that are looked for first: their name, rounded, exact."""
    figures = (
        ("Balance at the beginning", shape["opening"]["total"]),
        ("Cost of the month's usage", shape["deductions"]["cost"]),
        ("Balance at the end", shape["closing_balance"]["total"]),
    )
    return [(name, rounded(amount, decimals), amount) for name, amount in figures]


def _weasyprint() -> Any:
    if find_spec("weasyprint") is None:
        raise SetupError("weasyprint is not installed: run pip install 'costmeter[finance]'")
    try:
        import weasyprint
    except OSError as error:  # a library of the system that it loads
        raise SetupError(f"weasyprint cannot be loaded ({error}); apt-get install {' '.join(PACKAGES)}") from error
    return weasyprint
