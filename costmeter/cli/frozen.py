"""What every command says beside figures of an account that is frozen."""

from __future__ import annotations

from collections.abc import Iterable

from costmeter.cli.output import print_note
from costmeter.core.periods import format_instant
from costmeter.store.accounts import Account


def note_frozen(found: Iterable[Account]) -> None:
    """A line for each account that nothing is posted to."""
    for account in found:
        if account.frozen_at is not None:
            print_note(f"costmeter: {said_of(account)}")


def said_of(account: Account) -> str:
    """Since when an account is frozen, what that means, and what to do about it."""
    name, since = account.account, format_instant(account.frozen_at) if account.frozen_at else "never"
    return (
        f"account {name} is frozen since {since}, as its ledger failed verify: its calls are recorded and not posted; "
        f"see: costmeter account show {name}"
    )
