"""Add a credit: balance that was granted or topped up."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.errors import ConflictError, InputError
from costmeter.core.events import check_account, digest
from costmeter.core.ledger import ADDED, GRANTED, KINDS, Credit, credit_lines
from costmeter.core.money import check_currency, format_amount
from costmeter.core.periods import MICROSECOND, Period, as_utc, format_instant
from costmeter.core.secrets import without_secrets
from costmeter.core.texts import TEXT_LENGTH, check_said
from costmeter.services.fold import open_folds, write_folds
from costmeter.services.fold_again import first_affected, fold_again
from costmeter.store import accounts, audit, charges, credits, detached
from costmeter.store.accounts import Home
from costmeter.store.bulk import Batch
from costmeter.store.credits import BookedCredit
from costmeter.store.engine import in_transaction


class NewCredit(NamedTuple):
    """A credit as it is asked for; `effective_at` None means from now on, `currency` None the account's."""

    account: str
    kind: str
    amount: int
    currency: str | None = None
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    reference: str | None = None
    origin: str = ADDED


def add_credit(engine: Engine, new: NewCredit, *, by: str, home: Home, now: datetime) -> tuple[BookedCredit, bool]:
    """The credit as booked, and whether it was booked now (False: the same reference was booked before).

    With a reference it is booked once: again with the same content it is found, with other content it is a
    ConflictError and nothing changes. Overdraft is repaid at once by what is topped up. One that begins before calls
    that are posted already pays them as if it had been known: they are folded again, and the differences are posted.
    """
    checked, by = check_credit(new, now), check_said(by, "by")
    return in_transaction(engine, lambda connection: book_credit(connection, checked, by, home, now))


def book_credit(
    connection: Connection, new: NewCredit, by: str, home: Home, now: datetime
) -> tuple[BookedCredit, bool]:
    """The same within a transaction, of a credit that was checked."""
    wanted = Home(new.currency or home.currency, home.timezone)
    accounts.make_missing(connection, [new.account], wanted, now)
    account = accounts.lock(connection, new.account)
    if new.currency is not None and new.currency != account.currency:
        remedy = f"account {account.account!r} is kept in {account.currency}; two currencies are never summed"
        raise InputError("currency", new.currency, remedy)
    if new.reference is not None:
        first = credits.by_reference(connection, account.account, new.reference)
        if first is not None:
            return _same(first, new), False
    batch = Batch(connection)
    (fold,) = open_folds(batch, [account], now)
    credit = Credit(account.version + 1, new.kind, new.amount, new.effective_at or now, new.expires_at)
    detached.refuse_change(connection, [account.account], Period(credit.effective_at, None))
    since = first_affected(connection, account.account, credit, fold.purse.credits, account.version)
    if since is not None and new.effective_at is None:
        credit, since = _after_the_last(connection, account.account, credit), None
    booked = BookedCredit(credit, account.currency, new.reference, now, origin=new.origin)
    credits.add(connection, account.account, booked)
    fold.add_credit(credit, credit_lines(credit.kind, credit.amount, new.origin), seal_credit(booked))
    if since is not None:
        fold_again(fold, since)
    fold.repay()
    fold.expire()
    write_folds(batch, [fold], now)
    if new.origin == ADDED:
        audit.add(connection, "credit.add", _subject(booked), credit_change(booked), by=by, at=now, account=new.account)
    return booked, True


def _subject(booked: BookedCredit) -> str:
    return booked.reference or f"credit {booked.credit.credit_id}"


def credit_change(booked: BookedCredit) -> dict[str, Any]:
    """What the audit log says of a credit."""
    credit = booked.credit
    return {
        "kind": credit.kind,
        "amount": format_amount(credit.amount),
        "currency": booked.currency,
        "effective_at": format_instant(credit.effective_at),
        "expires_at": credit.expires_at and format_instant(credit.expires_at),
    }


def seal_credit(booked: BookedCredit) -> bytes:
    """What a journal entry's digest says of a credit."""
    credit = booked.credit
    expires = format_instant(credit.expires_at) if credit.expires_at else None
    effective = format_instant(credit.effective_at)
    said = [credit.credit_id, credit.kind, credit.amount, effective, expires, booked.reference]
    return digest(said if booked.origin == ADDED else [*said, booked.origin])


def check_credit(new: NewCredit, now: datetime) -> NewCredit:
    """The credit with what it says made good, or InputError."""
    account = check_account(new.account)
    if new.kind not in KINDS:
        raise InputError("kind", new.kind, f"use one of {', '.join(KINDS)}")
    if new.amount <= 0:
        raise InputError("amount", format_amount(new.amount), "a credit gives more than 0")
    if new.currency is not None:
        check_currency(new.currency)
    effective_at = None if new.effective_at is None else as_utc(new.effective_at, "effective_at")
    expires_at = None if new.expires_at is None else as_utc(new.expires_at, "expires_at")
    if expires_at is not None and new.kind != GRANTED:
        raise InputError("expires_at", format_instant(expires_at), "topped-up balance does not expire; leave it out")
    if expires_at is not None and expires_at <= (effective_at or now):
        remedy = f"must be after effective_at {format_instant(effective_at or now)}"
        raise InputError("expires_at", format_instant(expires_at), remedy)
    if new.reference is not None and not 0 < len(new.reference) <= TEXT_LENGTH:
        raise InputError("reference", new.reference, f"write 1 to {TEXT_LENGTH} characters")
    reference = without_secrets(new.reference) if new.reference else None
    return new._replace(account=account, effective_at=effective_at, expires_at=expires_at, reference=reference)


def _same(first: BookedCredit, new: NewCredit) -> BookedCredit:
    """The credit that has this reference, if it says the same; an instant left out says nothing."""
    if first.void is not None:
        remedy = f"is of a credit that was voided at {format_instant(first.void.booked_at)}; use another"
        raise ConflictError("reference", new.reference, remedy)
    credit = first.credit
    effective_at = new.effective_at or credit.effective_at
    if (credit.kind, credit.amount, credit.effective_at, credit.expires_at) != (
        new.kind,
        new.amount,
        effective_at,
        new.expires_at,
    ):
        raise ConflictError("reference", new.reference, "was used before for another credit; nothing was changed")
    return first


def _after_the_last(connection: Connection, account: str, credit: Credit) -> Credit:
    """A credit that names no start begins after the calls that are posted, whose clocks may be ahead of ours."""
    credit = credit._replace(effective_at=charges.last_completion(connection, account) + MICROSECOND)
    if credit.expires_at is not None and credit.expires_at <= credit.effective_at:
        remedy = f"must be after effective_at {format_instant(credit.effective_at)}"
        raise InputError("expires_at", format_instant(credit.expires_at), remedy)
    return credit
