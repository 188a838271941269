"""Capture: record calls and post what waits in the accounts they touched, as every door into a database does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from costmeter.core.price_book import PriceBook
from costmeter.services.post_charges import post_accounts
from costmeter.services.record_calls import Received, Tally, record_calls
from costmeter.store import events
from costmeter.store.accounts import Home
from costmeter.store.engine import reading


def capture(
    engine: Engine,
    bodies: Sequence[Any],
    *,
    book: PriceBook,
    home: Home,
    now: datetime | None = None,
    occurrences: Counter[bytes] | None = None,
) -> Tally:
    """Record bodies (or `Received`, where their place is known) and return when their accounts are posted."""
    at = now or datetime.now(UTC)
    received = [body if isinstance(body, Received) else Received(body) for body in bodies]
    tally = record_calls(engine, received, now=at, book=book, home=home, occurrences=occurrences)
    with reading(engine) as connection:
        waiting = events.pending_accounts(connection, tally.accounts)
    post_accounts(engine, waiting, book=book, now=at, at_hand={stored.event_key: stored for stored in tally.events})
    return tally
