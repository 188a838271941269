"""Write digests: a notice of each day, week or month that is over, once for each account, and for all of a currency."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.digests import Digest, last_over
from costmeter.store import accounts, alerts
from costmeter.store.accounts import Account
from costmeter.store.engine import in_transaction, reading


class Told(NamedTuple):
    """What a digest tells of: one account, or all accounts of a currency."""

    digest: Digest
    account: str | None
    currency: str

    @property
    def owner(self) -> str:
        return alerts.NO_ACCOUNT if self.account is None else self.account

    @property
    def subject(self) -> str:
        """That of all accounts says of which currency."""
        return self.digest.subject if self.account is not None else f"{self.digest.subject} {self.currency}"


Facts = Callable[[Connection, Told, datetime], Mapping[str, Any]]


def write_digests(engine: Engine, kinds: Iterable[str], facts: Facts, *, now: datetime) -> int:
    """Keep the notices of the digests that are due and not kept yet; returns how many.

    Due is the last day, week and month that is over in the zone of the account, if it was there by then: what nobody
    told while no scheduler ran is not told later. However many processes do this, each notice is written once.
    """
    with reading(engine) as connection:
        due = [*_due(accounts.listed(connection), [*kinds], now)]
        missing = [one for one in due if not alerts.is_kept(connection, one.owner, alerts.DIGEST, one.subject)]
    return sum(in_transaction(engine, partial(_write, one=one, facts=facts, now=now)) for one in missing)


def _due(found: Sequence[Account], kinds: Sequence[str], now: datetime) -> Iterator[Told]:
    for kind in kinds:
        for account in found:
            digest = last_over(kind, now, account.timezone)
            if _was_there(account, digest):
                yield Told(digest, account.account, account.currency)
        for currency in sorted({account.currency for account in found}):
            of_currency = [account for account in found if account.currency == currency]
            if len(of_currency) > 1:
                digest = last_over(kind, now, accounts.shared_zone(of_currency))
                yield Told(digest, None, currency)


def _was_there(account: Account, digest: Digest) -> bool:
    end = digest.period(account.timezone).end
    return end is not None and account.created_at < end


def _write(connection: Connection, *, one: Told, facts: Facts, now: datetime) -> bool:
    told = facts(connection, one, now)
    return alerts.notify_once(connection, one.owner, alerts.DIGEST, alerts.DIGEST, told, now=now, subject=one.subject)
