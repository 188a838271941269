"""Editions of the price book: each text once, so that a charge can be priced again for ever."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from costmeter.core.errors import NotFoundError
from costmeter.core.price_book import PriceBook
from costmeter.store import audit
from costmeter.store.bulk import add_new
from costmeter.store.tables import EditionRow


def keep(connection: Connection, book: PriceBook, now: datetime) -> None:
    """Store the book's text unless it is there; asked first, since the text is long and nearly always there."""
    if connection.scalar(select(EditionRow.edition).where(EditionRow.edition == book.edition)) is not None:
        return
    row = {"edition": book.edition, "text": book.text, "stored_at": now}
    if add_new(connection, EditionRow, row):
        change = {"tariffs": len(book.tariffs), "names": len(book.names)}
        audit.add(connection, "prices.edition", book.edition, change, by="posting", at=now)


def texts(connection: Connection) -> list[str]:
    """Every edition that anything was ever priced by."""
    return list(connection.scalars(select(EditionRow.text).order_by(EditionRow.stored_at, EditionRow.edition)))


def text_of(connection: Connection, edition: str) -> str:
    text = connection.scalar(select(EditionRow.text).where(EditionRow.edition == edition))
    if text is None:
        raise NotFoundError(f"no price book of edition {edition}")
    return text
