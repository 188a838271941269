"""How things look in JSON, on the command line and over HTTP alike."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.store import credits, events, freezes
from costmeter.store.accounts import Account
from costmeter.store.audit import AuditEntry
from costmeter.store.corrections import Correction
from costmeter.store.credits import BookedCredit, CreditBalance
from costmeter.store.freezes import Freeze
from costmeter.store.journal import BookedEntry
from costmeter.store.keys import key_text
from costmeter.store.observations import Observation
from costmeter.store.quarantine import Item
from costmeter.store.tables import PendingRow


def account_shape(account: Account) -> dict[str, Any]:
    return {
        "account": account.account,
        "currency": account.currency,
        "timezone": account.timezone,
        "created_at": format_instant(account.created_at),
        "frozen_at": format_instant(account.frozen_at) if account.frozen_at else None,
    }


def account_detail(connection: Connection, account: Account) -> dict[str, Any]:
    """An account with its opening, credits, overdraft, what is not posted yet, and why it was frozen or released."""
    name = account.account
    booked = [one.credit for one in credits.of_account(connection, name) if one.void is None]
    opened = min((credit.effective_at for credit in booked), default=None)
    return {
        **account_shape(account),
        "tracked_from": format_instant(opened) if opened else None,
        "credits": len(booked),
        "overdraft": format_amount(account.overdraft),
        "entries_to": account.version,
        "unposted": events.count_pending(connection, PendingRow.account == name),
        "freezes": [freeze_shape(freeze) for freeze in freezes.of_account(connection, name)],
    }


def entry_shape(entry: BookedEntry) -> dict[str, Any]:
    """A journal entry; its lines sum to zero."""
    return {
        "seq": entry.seq,
        "first_seq": entry.first_seq,
        "kind": entry.kind,
        "currency": entry.currency,
        "billing_month": entry.billing_month,
        "booked_at": format_instant(entry.booked_at),
        "lines": {name: format_amount(amount) for name, amount in entry.lines.items()},
        "facts": entry.facts.hex(),
        "chain": entry.chain.hex(),
    }


def freeze_shape(freeze: Freeze) -> dict[str, Any]:
    return {**freeze._asdict(), "decided_at": format_instant(freeze.decided_at)}


def credit_shape(booked: BookedCredit, left: CreditBalance | None = None) -> dict[str, Any]:
    """A credit; `remaining` is what can still be spent, `expired` what expired unspent."""
    credit, void = booked.credit, booked.void
    shape = {
        "credit_id": credit.credit_id,
        "kind": credit.kind,
        "amount": format_amount(credit.amount),
        "currency": booked.currency,
        "effective_at": format_instant(credit.effective_at),
        "expires_at": format_instant(credit.expires_at) if credit.expires_at else None,
        "reference": booked.reference,
        "origin": booked.origin,
        "voided": {"at": format_instant(void.booked_at), "by": void.by_whom, "reason": void.reason} if void else None,
    }
    if left is not None:
        shape |= {"remaining": format_amount(left.remaining - left.expired), "expired": format_amount(left.expired)}
    return shape


def correction_shape(correction: Correction) -> dict[str, Any]:
    """A correction of a balance; `amount` is negative where the balance was too high."""
    return {
        "seq": correction.seq,
        "kind": correction.kind,
        "amount": format_amount(correction.amount),
        "effective_at": format_instant(correction.effective_at),
        "booked_at": format_instant(correction.booked_at),
        "by": correction.by_whom,
        "reason": correction.reason,
    }


def observation_shape(seen: Observation) -> dict[str, Any]:
    """A balance that DeepSeek said, beside the ledger's; `difference` is observed less expected."""
    pots = {
        "observed": (seen.granted, seen.topped_up, seen.total),
        "expected": (seen.expected_granted, seen.expected_topped_up, seen.expected_granted + seen.expected_topped_up),
        "difference": (*seen.difference, seen.difference.total),
    }
    amounts = {
        name: dict(zip(("granted", "topped_up", "total"), map(format_amount, values), strict=True))
        for name, values in pots.items()
    }
    return {
        "account": seen.account,
        "number": seen.number,
        "status": seen.status,
        "observed_at": format_instant(seen.observed_at),
        "expected_at": format_instant(seen.expected_at),
        "currency": seen.currency,
        **amounts,
        "unposted": seen.unposted,
        "posted_meanwhile": seen.version - seen.version_before,
        "explanations": seen.findings or None,
        "decided_at": seen.decided_at and format_instant(seen.decided_at),
        "decided_by": seen.decided_by,
        "reason": seen.reason,
        "body": seen.body,
    }


def item_shape(item: Item) -> dict[str, Any]:
    instants = ("completed_at", "received_at", "decided_at")
    shape = {**item._asdict(), "item": item.name}
    return shape | {name: format_instant(shape[name]) if shape[name] else None for name in instants}


def audit_shape(entry: AuditEntry) -> dict[str, Any]:
    """A change; `account` is null where it belongs to none."""
    return {
        "entry": key_text(entry.entry),
        "at": format_instant(entry.at),
        "by": entry.by_whom,
        "action": entry.action,
        "account": entry.account or None,
        "subject": entry.subject,
        "change": entry.change,
        "reason": entry.reason,
    }
