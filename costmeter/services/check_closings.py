"""Check that closed months are as they were closed: their texts, their chain, and their numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from costmeter.core.money import format_amount
from costmeter.core.periods import month_after
from costmeter.core.statements import PARTS
from costmeter.services.close_month import sha256
from costmeter.store import closings, detached, journal
from costmeter.store.accounts import Account
from costmeter.store.closings import Closing
from costmeter.store.statements import opening_balance
from costmeter.store.tables import EntryRow
from costmeter.store.usage import usage_of_charges


def closing_findings(connection: Connection, account: Account, *, full: bool) -> Iterator[str]:
    """What of an account's closed months is not as it was closed; their charges are summed again in a full check."""
    previous: Closing | None = None
    closed_upto = journal.closed_months(connection, [account.account]).get(account.account, "")
    for closing in closings.of_account(connection, account.account):
        manifest = json.loads(closing.manifest)
        if sha256(closing.manifest) != closing.sha256 or sha256(closing.statement) != manifest["statement_sha256"]:
            yield f"{closing.month} was closed with other texts than it has"
            return
        if previous is not None and (closing.month, manifest["previous_sha256"]) != (
            month_after(previous.month),
            previous.sha256,
        ):
            yield f"{closing.month} does not follow {previous.month} as it was closed"
        if closing.month > closed_upto:
            yield f"{closing.month} was closed, and is open to what comes"
        yield from _numbers(connection, account.account, closing, manifest)
        if full:
            yield from _charges(connection, account.account, closing, manifest)
        previous = closing


def _numbers(connection: Connection, account: str, closing: Closing, manifest: dict[str, Any]) -> Iterator[str]:
    month = closing.month
    newest = select(func.max(EntryRow.seq)).where(EntryRow.account == account, EntryRow.billing_month == month)
    if (last := connection.scalar(newest)) is not None and last > closing.last_seq:
        yield f"{month} was closed at {closing.last_seq}, and entry {last} was booked in it"
    for name, of in (("opening", month), ("closing_balance", month_after(month))):
        found = opening_balance(connection, account, of).as_dict()
        if found != manifest[name]:
            yield f"{month} was closed with the {name} {manifest[name]}, its journal gives {found}"


def _charges(connection: Connection, account: str, closing: Closing, manifest: dict[str, Any]) -> Iterator[str]:
    if detached.detached_months(connection, [account]):
        return  # what is away cannot be summed
    own = [one.sums for one in usage_of_charges(connection, account, closing.month) if one.adjusts is None]
    found = {name: format_amount(sum(sums[name] for sums in own)) for name in ("cost", *PARTS)}
    if found != manifest["deductions"]:
        yield f"{closing.month} was closed with {manifest['deductions']}, its charges give {found}"
