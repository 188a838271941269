"""Post charges: price what waits, take it from the account's credits, and write the journal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from types import MappingProxyType

from sqlalchemy import Connection, Engine

from costmeter.core.price_book import PriceBook
from costmeter.services.fold import open_folds, write_folds
from costmeter.store import accounts, editions, events
from costmeter.store.bulk import Batch
from costmeter.store.engine import in_transaction
from costmeter.store.events import StoredEvent

BATCH, ACCOUNTS = 2_000, 500  # the most calls and the most accounts that one transaction posts


def post_charges(engine: Engine, account: str, *, book: PriceBook, now: datetime) -> int:
    """Post everything of an account that waits; returns how many calls that were."""
    return post_accounts(engine, [account], book=book, now=now)


def post_accounts(
    engine: Engine,
    names: Collection[str],
    *,
    book: PriceBook,
    now: datetime,
    at_hand: Mapping[bytes, StoredEvent] = MappingProxyType({}),
) -> int:
    """Post everything of these accounts that waits; returns how many calls that were.

    Each batch is one transaction under the locks of its accounts, so that any number of posters may run: many calls of
    one account, or a few calls of each of many. What waits in a frozen account goes on waiting. Events that were
    recorded just now are `at_hand`, by their keys.
    """
    left, posted = sorted(set(names)), 0
    while left:
        together = left[:ACCOUNTS]
        count, done = in_transaction(engine, lambda c: _post_batch(c, together, book, now, at_hand))  # noqa: B023  at once
        posted += count
        left = [name for name in left if name not in done]
    return posted


def _post_batch(
    connection: Connection, names: Sequence[str], book: PriceBook, now: datetime, at_hand: Mapping[bytes, StoredEvent]
) -> tuple[int, set[str]]:
    """Post the oldest calls of accounts; says how many, and of which accounts no more wait."""
    locked = [account for account in accounts.lock_all(connection, names) if account.frozen_at is None]
    waiting = events.oldest_pending(connection, [account.account for account in locked], BATCH, at_hand)
    by_account = {name: list(group) for name, group in groupby(waiting, key=lambda stored: stored.event.account)}
    done = set(names)
    if len(waiting) == BATCH:  # the last account may have more, and those after it were not looked at
        done = set(by_account) - {waiting[-1].event.account}
    if waiting:
        editions.keep(connection, book, now)
    batch = Batch(connection)
    folded = [account for account in locked if account.account in done or account.account in by_account]
    folds = list(open_folds(batch, folded, now))
    for fold in folds:
        fold.post(by_account.get(fold.account.account, ()), book)
        fold.repay()
        if fold.account.account in done:
            fold.expire()  # not before the last call that waits: it may have completed before the expiry
    write_folds(batch, folds, now)
    events.remove_pending(connection, waiting)
    return len(waiting), done
