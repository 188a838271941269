"""Post all: what a process that only posts does again and again, alone or with others beside it."""

from __future__ import annotations

from datetime import datetime
from zlib import crc32

from sqlalchemy import Engine

from costmeter.core.errors import InputError
from costmeter.core.price_book import PriceBook
from costmeter.services.post_charges import post_accounts
from costmeter.store import events
from costmeter.store.engine import reading


def post_all(engine: Engine, *, book: PriceBook, now: datetime, shard: int = 0, shards: int = 1) -> int:
    """Post everything that waits in the accounts of this shard; returns how many calls that were.

    Each of `shards` posters takes the accounts whose name falls to its number from 0: none waits for another's lock.
    Run two of one number and they are only slower. On SQLite, which has one writer, one poster does all.
    """
    if not 0 <= shard < shards:
        raise InputError("shard", shard, f"number the {shards} posters from 0 to {shards - 1}")
    with reading(engine) as connection:
        waiting = events.pending_accounts(connection)
    mine = [name for name in waiting if crc32(name.encode()) % shards == shard]
    return post_accounts(engine, mine, book=book, now=now)
