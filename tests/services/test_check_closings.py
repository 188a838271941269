"""What verify finds where a closed month is not as it was closed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from costmeter.services.close_month import close_month
from costmeter.services.verify import verify
from tests.make import an_event, at, record_and_post

APRIL = "2025-04-05T00:00:00Z"


@pytest.fixture
def closed(engine: Engine) -> Engine:
    record_and_post(engine, an_event("a"))
    close_month(engine, "default", "2025-03", by="Ada", grace=timedelta(), now=at(APRIL))
    assert verify(engine, full=True) == []
    return engine


@pytest.mark.parametrize("column", ["statement", "manifest", "sha256"])
def test_other_texts(closed: Engine, column: str) -> None:
    with closed.begin() as connection:
        unprotect(connection)
        connection.execute(text(f"UPDATE closing SET {column} = '{{}}'"))
    findings = verify(closed, full=True)
    assert [finding.promise for finding in findings] == [5]
    assert "2025-03 was closed with other texts" in findings[0].what


def test_a_month_that_follows_another_closing_than_it_did(closed: Engine) -> None:
    close_month(closed, "default", "2025-04", by="Ada", grace=timedelta(), now=at("2025-05-05T00:00:00Z"))
    with closed.begin() as connection:
        unprotect(connection)
        connection.execute(text("DELETE FROM closing WHERE month = '2025-03'"))
    assert any("close that is not there" in finding.what for finding in verify(closed, full=True))


def test_what_was_booked_in_it_behind_its_back(closed: Engine) -> None:
    with closed.begin() as connection:
        connection.execute(text("DELETE FROM period"))
    assert "is open to what comes" in verify(closed, full=True)[0].what
    with closed.begin() as connection:
        connection.execute(text("UPDATE account SET frozen_at = NULL"))
    record_and_post(closed, an_event("b"), now=APRIL)
    found = [finding.what for finding in verify(closed, full=True)]
    assert any("was booked in it" in what for what in found)
    assert any("its charges give" in what for what in found)


def unprotect(connection: Connection) -> None:
    """Take the triggers off that keep closings as they are."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP TRIGGER closing_only_added ON closing"))
        return
    for verb in ("update", "delete"):
        connection.execute(text(f"DROP TRIGGER closing_no_{verb}"))
