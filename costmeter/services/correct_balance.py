"""Correct a balance: put it right by a new entry, in somebody's name and for a reason that is kept."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.core.events import check_account, digest
from costmeter.core.ledger import CORRECTION, GRANTED, KINDS, TOPPED_UP, correction_lines
from costmeter.core.money import format_amount
from costmeter.core.periods import Period, as_utc, format_instant
from costmeter.core.texts import check_said
from costmeter.services.add_credit import NewCredit, book_credit
from costmeter.services.fold import open_folds, write_folds
from costmeter.services.fold_again import fold_again
from costmeter.store import accounts, audit, charges, corrections, detached
from costmeter.store.accounts import Home
from costmeter.store.bulk import Batch
from costmeter.store.corrections import Correction
from costmeter.store.engine import in_transaction
from costmeter.store.journal import Entry


class NewCorrection(NamedTuple):
    """A correction as it is asked for: by how much the balance is to go up, or, negative, down; from when on."""

    account: str
    amount: int
    reason: str
    kind: str = TOPPED_UP
    effective_at: datetime | None = None


def correct_balance(engine: Engine, new: NewCorrection, *, by: str, now: datetime) -> Correction:
    """The correction as booked. Upwards it is a credit; downwards it is owed, and repaid by topped-up balance.

    Calls that completed after it are folded again with it. InputError for an amount of 0, a granted balance that is to
    go down (its credit is voided instead), an instant to come, or an account that is not tracked.
    """
    checked, by = _checked(new, now), check_said(by, "by")
    return in_transaction(engine, lambda connection: _correct(connection, checked, by, now))


def _checked(new: NewCorrection, now: datetime) -> NewCorrection:
    if new.kind not in KINDS:
        raise InputError("kind", new.kind, f"use one of {', '.join(KINDS)}")
    if new.amount == 0:
        raise InputError("amount", format_amount(0), "a correction moves the balance")
    if new.amount < 0 and new.kind == GRANTED:
        remedy = "a grant is taken back by its own void: costmeter credit void REFERENCE, and added again as it is"
        raise InputError("amount", format_amount(new.amount), remedy)
    effective_at = now if new.effective_at is None else as_utc(new.effective_at, "effective_at")
    if effective_at > now:
        raise InputError("effective_at", format_instant(effective_at), f"is ahead of now, {format_instant(now)}")
    reason = check_said(new.reason, "reason")
    return new._replace(account=check_account(new.account), reason=reason, effective_at=effective_at)


def _correct(connection: Connection, new: NewCorrection, by: str, now: datetime) -> Correction:
    account = accounts.lock(connection, accounts.get(connection, new.account).account)
    assert new.effective_at is not None
    said = (new.effective_at, new.reason, by, now)
    correction = Correction(account.version + 1, new.kind, new.amount, *said)
    corrections.add(connection, account.account, correction)  # folding again reads it
    if new.amount > 0:
        home = Home(account.currency, account.timezone)
        credit = NewCredit(account.account, new.kind, new.amount, None, new.effective_at, origin=CORRECTION)
        book_credit(connection, credit, by, home, now)
    else:
        _owe(connection, account, correction, now)
    change = {"kind": new.kind, "amount": format_amount(new.amount), "currency": account.currency}
    change["effective_at"] = format_instant(new.effective_at)
    subject = f"correction {correction.seq}"
    audit.add(connection, "balance.correct", subject, change, by=by, at=now, account=account.account, reason=new.reason)
    return correction


def _owe(connection: Connection, account: accounts.Account, correction: Correction, now: datetime) -> None:
    """Book a correction downwards: what it takes is owed from its instant on."""
    name, since = account.account, correction.effective_at
    batch = Batch(connection)
    (fold,) = open_folds(batch, [account], now)
    if fold.purse.opened_at is None or since < fold.purse.opened_at:
        remedy = f"account {name!r} keeps no balance then; give it one: costmeter account open"
        raise InputError("effective_at", format_instant(since), remedy)
    detached.refuse_change(connection, [name], Period(since, None))
    month, _ = fold.month(since)
    lines = correction_lines(-correction.amount)
    fold.entries.append(
        Entry("correction", correction.seq, correction.seq, month, now, seal_correction(correction), lines)
    )
    fold.purse.overdraft -= correction.amount
    if charges.has_since(connection, name, since=since, upto=account.version):
        fold_again(fold, since)
    fold.repay()
    fold.expire()
    write_folds(batch, [fold], now)


def seal_correction(correction: Correction) -> bytes:
    """What a journal entry's digest says of a correction downwards."""
    at = format_instant(correction.effective_at)
    return digest([correction.seq, correction.kind, correction.amount, at, correction.reason, correction.by_whom])
