"""Editions of the price book: each is stored once, and the audit log says so."""

from __future__ import annotations

from sqlalchemy import Engine

from costmeter.store import editions
from costmeter.store.engine import in_transaction
from costmeter.store.tables import AuditRow, EditionRow
from tests.late_prices import with_new_model
from tests.make import NOW, at, book, rows


def test_each_is_stored_and_audited_once(engine: Engine) -> None:
    for prices in (book(), with_new_model(), book()):
        in_transaction(engine, lambda connection: editions.keep(connection, prices, at(NOW)))  # noqa: B023  run at once
    stored = {row["edition"] for row in rows(engine, EditionRow)}
    assert stored == {book().edition, with_new_model().edition}
    assert sorted(row["subject"] for row in rows(engine, AuditRow)) == sorted(stored)
