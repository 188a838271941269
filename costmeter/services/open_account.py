"""Open an account in mid-life: with the balance that it has at an instant."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.errors import ConflictError, InputError
from costmeter.core.events import check_account
from costmeter.core.ledger import GRANTED, OPENING, TOPPED_UP
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.core.texts import check_said
from costmeter.services.add_credit import NewCredit, book_credit, check_credit
from costmeter.store import accounts, audit, credits
from costmeter.store.accounts import Home
from costmeter.store.credits import BookedCredit
from costmeter.store.engine import in_transaction

REFERENCES = {GRANTED: "account open: granted", TOPPED_UP: "account open: topped up"}


class Opening(NamedTuple):
    """The balance that an account has from `at` on; what was granted may expire."""

    account: str
    at: datetime
    granted: int = 0
    topped_up: int = 0
    granted_expires_at: datetime | None = None
    currency: str | None = None


def open_account(
    engine: Engine, opening: Opening, *, by: str, home: Home, now: datetime
) -> tuple[list[BookedCredit], bool]:
    """The credits that the account begins with, and whether they were booked now (False: it was opened so before).

    From `at` on calls are deducted. Opened again otherwise it is a ConflictError and nothing changes. InputError where
    both balances are 0: an account without one is tracked from its first credit on.
    """
    name, by = check_account(opening.account), check_said(by, "by")
    amounts = {GRANTED: opening.granted, TOPPED_UP: opening.topped_up}
    for kind, amount in amounts.items():
        if amount < 0:
            remedy = "an account opens with what it has; what it owes is a correction: costmeter credit correct"
            raise InputError(kind, format_amount(amount), remedy)
    if not any(amounts.values()):
        remedy = "give a granted or a topped-up balance; an account without one is tracked from its first credit on"
        raise InputError("granted", None, remedy)
    expires = {GRANTED: opening.granted_expires_at, TOPPED_UP: None}
    new = [
        check_credit(
            NewCredit(name, kind, amount, opening.currency, opening.at, expires[kind], REFERENCES[kind], OPENING), now
        )
        for kind, amount in amounts.items()
        if amount
    ]

    def book(connection: Connection) -> tuple[list[BookedCredit], bool]:
        accounts.make_missing(connection, [name], Home(opening.currency or home.currency, home.timezone), now)
        accounts.lock(connection, name)
        before = {kind for kind, text in REFERENCES.items() if credits.by_reference(connection, name, text)}
        if before and before != {one.kind for one in new}:
            raise ConflictError("account", name, "was opened before with another balance; nothing was changed")
        booked = [book_credit(connection, one, by, home, now) for one in new]
        if not before:
            change = {kind: format_amount(amount) for kind, amount in amounts.items()}
            change |= {"currency": booked[0][0].currency, "at": format_instant(opening.at)}
            audit.add(connection, "account.open", name, change, by=by, at=now, account=name)
        return [one for one, _ in booked], not before

    return in_transaction(engine, book)
