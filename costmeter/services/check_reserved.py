"""Promise 6 for what is reserved: it equals what the open reservations hold back; and making it again from them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from costmeter.core.budgets import BALANCE, Budget, balance_limit, format_limit, room
from costmeter.core.periods import format_instant
from costmeter.store import budget_periods, budgets, reservations
from costmeter.store.accounts import Account
from costmeter.store.budget_periods import PeriodKey


def reserved_findings(connection: Connection, account: Account) -> Iterator[str]:
    """What of the reserved sums of an account's budgets is not what its open reservations hold back."""
    if not account.budgets:
        return
    kept, held = (
        budget_periods.of_account(connection, account.account),
        reservations.held_now(connection, account.account),
    )
    in_force = _in_force(connection, account)
    for key in sorted(kept.keys() | held.keys()):
        had, budget = kept[key].reserved if key in kept else 0, in_force.get(key.number)
        if budget is not None and had != held[key]:
            was, told = (format_limit(amount, budget.unit) for amount in (had, held[key]))
            yield (
                f"budget {budget.name!r} has {was} {budget.unit} reserved in its period from "
                f"{format_instant(key.starts_at)}, its open reservations hold {told}"
            )


def rebuild_reserved(connection: Connection, account: Account) -> None:
    """Sum the open reservations of an account anew, after what is spent was rebuilt.

    Whoever reserves does not lock the account: the periods are locked first, so that what is open by then is summed and
    whoever comes later adds to the new sums.
    """
    if not account.budgets:
        return
    in_force = _in_force(connection, account)
    for key in sorted(reservations.held_now(connection, account.account)):
        if key.number in in_force:
            reservations.make_period(connection, key, room(in_force[key.number], 0))
    keys: list[PeriodKey] = sorted(budget_periods.of_account(connection, account.account))
    reservations.lock_periods(connection, keys)
    held = reservations.held_now(connection, account.account)
    reservations.save_reserved(connection, {key: held[key] for key in keys})


def _in_force(connection: Connection, account: Account) -> dict[int, Budget]:
    found = {kept.budget.number: kept.budget for kept in budgets.in_force(connection, [account.account])}
    return found | {BALANCE: balance_limit(account.currency)}
