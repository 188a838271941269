"""Void a credit: take it back by new entries, as if it had never been given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.errors import ConflictError, InputError, NotFoundError
from costmeter.core.events import check_account, digest
from costmeter.core.ledger import Credit, credit_lines
from costmeter.core.money import format_amount
from costmeter.core.periods import Period, format_instant
from costmeter.core.secrets import without_secrets
from costmeter.core.texts import TEXT_LENGTH
from costmeter.services.fold import open_folds, write_folds
from costmeter.services.fold_again import fold_again
from costmeter.store import accounts, audit, charges, credits, detached
from costmeter.store.bulk import Batch
from costmeter.store.credits import BookedCredit, Void
from costmeter.store.engine import in_transaction
from costmeter.store.journal import Entry


def void_credit(engine: Engine, account: str, reference: str, *, reason: str, by: str, now: datetime) -> BookedCredit:
    """The credit with its void, which counts from now on for every instant: what it paid is folded again without it.

    A credit is voided once; again it is a ConflictError that says when, by whom and why it was. NotFoundError where no
    credit has the reference, InputError without a reason or a name.
    """
    name, reference = check_account(account), without_secrets(reference)
    for field, text in (("reason", reason), ("by", by)):
        if not 0 < len(text.strip()) <= TEXT_LENGTH:
            raise InputError(field, text, f"write 1 to {TEXT_LENGTH} characters")
    said = (without_secrets(reason.strip()), without_secrets(by.strip()))
    return in_transaction(engine, lambda connection: _void(connection, name, reference, said, now))


def _void(connection: Connection, name: str, reference: str, said: tuple[str, str], now: datetime) -> BookedCredit:
    account = accounts.lock(connection, name)
    booked = credits.by_reference(connection, name, reference)
    if booked is None:
        raise NotFoundError(
            f"no credit of account {name!r} has the reference {reference!r}; see: costmeter credit list"
        )
    if booked.void is not None:
        remedy = (
            f"was voided before, at {format_instant(booked.void.booked_at)} by {booked.void.by_whom}: "
            f"{booked.void.reason}; nothing was changed"
        )
        raise ConflictError("reference", reference, remedy)
    batch = Batch(connection)
    (fold,) = open_folds(batch, [account], now)
    credit = fold.purse.remove(booked.credit.credit_id)
    void = Void(account.version + 1, *said, now)
    detached.refuse_change(connection, [name], Period(credit.effective_at, None))
    since = first_paid_by(connection, name, credit, fold.purse.credits, account.version)
    credits.add_void(connection, name, credit.credit_id, void)
    month, _ = fold.month(credit.effective_at)
    lines = credit_lines(credit.kind, -credit.amount, booked.origin)
    fold.entries.append(Entry("void", void.seq, void.seq, month, now, seal_void(credit.credit_id, void), lines))
    if since is not None:
        fold_again(fold, since)
    fold.purse.remaining[credit.credit_id] = 0
    if (expired := fold.expired[credit.credit_id]) and credit.expires_at is not None:
        fold.book_expiry(credit.credit_id, -expired, credit.expires_at)
    fold.repay()
    fold.expire()
    write_folds(batch, [fold], now)
    change = {"kind": credit.kind, "amount": format_amount(credit.amount), "currency": booked.currency}
    audit.add(connection, "credit.void", reference, change, by=void.by_whom, at=now, account=name, reason=void.reason)
    return booked._replace(void=void)


def first_paid_by(
    connection: Connection, account: str, credit: Credit, others: Sequence[Credit], upto: int
) -> datetime | None:
    """From when on calls are folded again without this credit; None where it paid for nothing that is posted."""
    if credit.credit_id in credits.repaid(connection, account, upto):
        return credit.effective_at
    return charges.first_paid_by(connection, account, credit, others, upto)


def seal_void(credit_id: int, void: Void) -> bytes:
    """What a journal entry's digest says of a void."""
    return digest([void.seq, credit_id, void.reason, void.by_whom])
