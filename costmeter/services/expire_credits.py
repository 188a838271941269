"""Expire credits: book what grants still held when they expired, in accounts that no call comes to."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from costmeter.core.price_book import PriceBook
from costmeter.services.post_charges import post_accounts
from costmeter.store import credits
from costmeter.store.engine import reading


def expire_credits(engine: Engine, *, book: PriceBook, now: datetime) -> list[str]:
    """The accounts whose grants expired by now and were not booked so yet; what waits in them is posted first.

    A balance knows of an expiry whether it is booked or not; this is for the journal.
    """
    with reading(engine) as connection:
        names = credits.accounts_to_expire(connection, now)
    post_accounts(engine, names, book=book, now=now)
    return names
