"""How long calls wait for their charge, as operators are told."""

from __future__ import annotations

from sqlalchemy import Engine, update

from costmeter.store import events
from costmeter.store.engine import in_transaction, reading
from costmeter.store.tables import AccountRow
from tests.make import an_event, at, post, record


def test_the_oldest_call_that_is_not_posted_says_since_when(engine: Engine) -> None:
    def since() -> object:
        with reading(engine) as connection:
            return events.waiting_since(connection)

    assert since() is None
    record(engine, an_event("1", account="cold"), now="2025-03-10T00:00:00Z")
    record(engine, an_event("2"), now="2025-03-10T00:00:05Z")
    assert since() == at("2025-03-10T00:00:00Z")
    in_transaction(
        engine,
        lambda c: c.execute(
            update(AccountRow).where(AccountRow.account == "cold").values(frozen_at=at("2025-03-10T00:00:01Z"))
        ),
    )
    assert since() == at("2025-03-10T00:00:05Z")
    post(engine)
    assert since() is None
