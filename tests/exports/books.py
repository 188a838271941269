"""Books that have everything an export must tell: the same on both databases, to the byte."""

from __future__ import annotations

from sqlalchemy import Engine

from costmeter.exports.content import Content
from costmeter.exports.export import Export
from costmeter.exports.format import Format, parts
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from tests.make import an_event, grant, record_and_post, set_up_account, top_up
from tests.services.invariants import close

MARCH, FEBRUARY = Scope.checked(month="2025-03"), Scope.checked(month="2025-02")
# What a spreadsheet would run, and what CSV must quote.
NASTY = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a,"b"\r\nc;ü中🚲', "a\nb", " ", "'", "1,5", '"=1"', ",\r\n")


def keep(engine: Engine) -> None:
    """Two zones, two closed months, credits of both kinds, calls without a price, charged again, and adjusted."""
    set_up_account(engine, "kolkata", timezone="Asia/Kolkata")
    top_up(engine, "5.00", "2025-02-01T00:00:00Z")
    record_and_post(engine, an_event("late", "2025-02-03T12:00:00Z", project="search"))
    close(engine, "2025-02")
    grant(engine, "1.00", "2025-02-02T00:00:00Z", expires_at="2025-03-20T00:00:00Z")  # adjusts February by March
    record_and_post(
        engine,
        an_event("first", "2025-03-03T12:00:00.5Z", hit=3, miss=4, project="search", user="u-1", api_key="backend"),
        an_event("unpriced", "2025-03-03T13:00:00Z", model="no-such-model", output=5),
        an_event("zone", "2025-02-28T18:30:00Z", account="kolkata", output=7),  # the first of March in Kolkata
        an_event("off-peak", "2025-03-03T17:00:00.000001Z", output=999_999),
        *(an_event(f"n{n:02}", f"2025-03-04T12:00:{n:02}Z", project=text, output=n) for n, text in enumerate(NASTY)),
    )
    grant(engine, "0.50", "2025-03-02T00:00:00Z")  # March's calls are charged again


def written(
    engine: Engine, export: Export, form: Format = Format.CSV, scope: Scope = MARCH, excel: str | None = None
) -> bytes:
    """The file."""
    with reading(engine) as connection:
        return b"".join(parts(Content(connection, export, scope), form, excel))


def digest(engine: Engine, export: Export, scope: Scope = MARCH) -> str:
    """The digest of the content."""
    with reading(engine) as connection:
        content = Content(connection, export, scope)
        for _ in content.blocks():
            pass
        return content.sha256
