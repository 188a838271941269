"""What a statement is made of, read from the journal and from the charges, which must agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from costmeter.core.errors import FrozenError
from costmeter.core.ledger import CORRECTION, GRANTED, OVERDRAFT, TOPPED_UP
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant, month_period
from costmeter.core.statements import Pair, Statement, Usage
from costmeter.store import corrections, credits, imported
from costmeter.store.accounts import Account
from costmeter.store.credits import BookedCredit
from costmeter.store.imported import ImportedCost, ImportedUsage
from costmeter.store.rollups import STATES
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums
from costmeter.store.tables import EntryRow, ExpiryRow, LineRow
from costmeter.store.types import join_halves, sum_halves
from costmeter.store.uncounted import count_uncounted
from costmeter.store.usage import usage_of_charges, usage_of_month


def read_statement(
    connection: Connection, account: Account, month: str, now: datetime, *, is_closing: bool = False
) -> Statement:
    """The statement of a month as it stands, from the rollups; that which a month is closed with, from its charges.

    Raises FrozenError where the journal and the charges do not agree, DetachedError where charges are detached.
    """
    scope = Scope.checked(month=month, account=account.account)
    in_scope = scope.accounts(connection)
    if is_closing:
        usage = usage_of_charges(connection, account.account, month)
    else:
        usage = usage_of_month(connection, account, month)
    moved = _moved(connection, account.account, month)
    booked = _booked(connection, account.account, month)
    movements = _movements(moved, _paid(usage), booked)
    states = {name: sum(one.sums[name] for one in usage) for name in STATES if name != "clock_doubts"}
    counts = {"calls": sum(one.sums["calls"] for one in usage), **states}
    statement = Statement(
        account.account,
        month,
        account.currency,
        account.timezone,
        month_period(month, account.timezone),
        now,
        opening=opening_balance(connection, account.account, month),
        movements=movements,
        usage=usage,
        credits=[
            *_credits(connection, account.account, booked),
            *_corrections(connection, account.account, month),
        ],
        expiries=_expiries(connection, account.account, month),
        imported=[_imported(one) for one in imported.usage_of_month(connection, account, month)],
        imported_costs=[_imported_cost(one) for one in imported.costs_of_month(connection, account, month)],
        counts=counts | count_uncounted(connection, scope, in_scope),
    )
    _check_journal(account.account, month, movements, moved)
    return statement


def read_movements(connection: Connection, account: Account, month: str) -> tuple[Pair, Mapping[str, Pair]]:
    """The opening balance and the movements of a month's statement, without reading its charges one by one.

    Raises what `read_statement` raises.
    """
    scope = Scope.checked(month=month, account=account.account)
    in_scope = scope.accounts(connection)
    moved = _moved(connection, account.account, month)
    paid: dict[str, Pair] = {}
    for record in read_sums(connection, scope, in_scope, ("day",), account.timezone):
        kind = "usage" if record["day"][:7] == month else "adjustment"  # what adjusts completed in a closed month
        paid[kind] = paid.get(kind, Pair(0, 0)).plus(_taken(record))
    movements = _movements(moved, paid, _booked(connection, account.account, month))
    _check_journal(account.account, month, movements, moved)
    return opening_balance(connection, account.account, month), movements


def opening_balance(connection: Connection, account: str, month: str) -> Pair:
    """What an account had when a billing month began: the sum of all that was booked in those before."""
    lines = _lines().where(LineRow.account == account, EntryRow.billing_month < month)
    return _pair(_sums(connection, lines.group_by(LineRow.journal_account)))


def moved_by_month(connection: Connection, account: str, first: str) -> dict[str, Pair]:
    """What was booked in each billing month from one on; a month in which nothing was is not there."""
    lines = _lines().add_columns(EntryRow.billing_month).where(LineRow.account == account)
    lines = lines.where(EntryRow.billing_month >= first)
    found: dict[str, dict[str, int]] = {}
    for name, high, low, month in connection.execute(lines.group_by(LineRow.journal_account, EntryRow.billing_month)):
        found.setdefault(month, {})[name] = join_halves(high, low)
    return {month: _pair(sums) for month, sums in found.items()}


def _lines() -> Select[*tuple[Any, ...]]:
    both = and_(LineRow.account == EntryRow.account, LineRow.seq == EntryRow.seq)
    return select(LineRow.journal_account, *sum_halves(LineRow.amount)).join(EntryRow, both)


def _sums(connection: Connection, query: Select[*tuple[Any, ...]]) -> dict[str, int]:
    return {name: join_halves(high, low) for name, high, low in connection.execute(query)}


def _pair(sums: dict[str, int]) -> Pair:
    return Pair(sums.get(GRANTED, 0), sums.get(TOPPED_UP, 0) + sums.get(OVERDRAFT, 0))


def _moved(connection: Connection, account: str, month: str) -> dict[str, Pair]:
    """What the journal entries of a billing month moved, by their kind."""
    query = _lines().add_columns(EntryRow.kind).where(LineRow.account == account, EntryRow.billing_month == month)
    found: dict[str, dict[str, int]] = {}
    for name, high, low, kind in connection.execute(query.group_by(LineRow.journal_account, EntryRow.kind)):
        found.setdefault(kind, {})[name] = join_halves(high, low)
    return {kind: _pair(sums) for kind, sums in found.items()}


def _total(moved: Mapping[str, Pair]) -> Pair:
    total = Pair(0, 0)
    for pair in moved.values():
        total = total.plus(pair)
    return total


def _check_journal(account: str, month: str, movements: Mapping[str, Pair], moved: Mapping[str, Pair]) -> None:
    """What a statement says that moved is what the journal of its month moved."""
    found, booked = _total(movements), _total(moved)
    if found != booked:
        raise FrozenError(
            f"{month} of account {account!r}: its movements come to {found.as_dict()}, its journal to "
            f"{booked.as_dict()}; see: costmeter verify --full"
        )


def _taken(sums: Mapping[str, int]) -> Pair:
    return Pair(-sums["granted"], -sums["topped_up"] - sums["overdraft"])


def _paid(usage: Sequence[Usage]) -> dict[str, Pair]:
    """What usage of the month, and what adjusts others, took of the balance."""
    found: dict[str, Pair] = {}
    for one in usage:
        kind = "usage" if one.adjusts is None else "adjustment"
        found[kind] = found.get(kind, Pair(0, 0)).plus(_taken(one.sums))
    return found


def _movements(moved: Mapping[str, Pair], paid: Mapping[str, Pair], booked: Sequence[BookedCredit]) -> dict[str, Pair]:
    """The movements of the statement: credits and usage from their own rows, what else there is from the journal."""
    found = dict(paid)
    for one in booked:
        amount = one.credit.amount
        pair = Pair(amount, 0) if one.credit.kind == GRANTED else Pair(0, amount)
        found[one.origin] = found.get(one.origin, Pair(0, 0)).plus(pair)
    for kind in ("void", "expiry"):
        if kind in moved:
            found[kind] = moved[kind]
    if "correction" in moved:
        found["correction"] = found.get("correction", Pair(0, 0)).plus(moved["correction"])
    return found


def _booked(connection: Connection, account: str, month: str) -> list[BookedCredit]:
    """The credits that were booked in a billing month."""
    query = select(EntryRow.seq).where(
        EntryRow.account == account, EntryRow.billing_month == month, EntryRow.kind == "credit"
    )
    numbers = set(connection.scalars(query))
    return [one for one in credits.of_account(connection, account) if one.credit.credit_id in numbers]


def _credits(connection: Connection, account: str, booked: Sequence[BookedCredit]) -> list[dict[str, Any]]:
    """The month's credits as JSON has them."""
    said = {one.seq: one for one in corrections.of_account(connection, account)}
    rows = []
    for one in booked:
        credit, correction = one.credit, said.get(one.credit.credit_id)
        rows.append(
            {
                "at": format_instant(one.booked_at),
                "kind": credit.kind,
                "amount": format_amount(credit.amount),
                "effective_at": format_instant(credit.effective_at),
                "expires_at": credit.expires_at and format_instant(credit.expires_at),
                "reference": one.reference,
                "origin": one.origin,
                "voided": one.void is not None,
                "by": correction.by_whom if correction else one.void.by_whom if one.void else None,
                "reason": correction.reason if correction else one.void.reason if one.void else None,
            }
        )
    return rows


def _corrections(connection: Connection, account: str, month: str) -> list[dict[str, Any]]:
    """The month's corrections downwards, in the shape of credits."""
    mine = (EntryRow.account == account, EntryRow.billing_month == month, EntryRow.kind == "correction")
    numbers = set(connection.scalars(select(EntryRow.seq).where(*mine)))
    return [
        {
            "at": format_instant(one.booked_at),
            "kind": one.kind,
            "amount": format_amount(one.amount),
            "effective_at": format_instant(one.effective_at),
            "expires_at": None,
            "reference": None,
            "origin": CORRECTION,
            "voided": False,
            "by": one.by_whom,
            "reason": one.reason,
        }
        for one in corrections.of_account(connection, account)
        if one.seq in numbers
    ]


def _expiries(connection: Connection, account: str, month: str) -> list[dict[str, Any]]:
    """What of grants expired in a month, each grant's reversals taken off."""
    both = and_(EntryRow.account == ExpiryRow.account, EntryRow.seq == ExpiryRow.seq)
    query = select(ExpiryRow.credit_id, func.max(ExpiryRow.effective_at), *sum_halves(ExpiryRow.amount))
    query = query.join(EntryRow, both).where(ExpiryRow.account == account, EntryRow.billing_month == month)
    references = {one.credit.credit_id: one.reference for one in credits.of_account(connection, account)}
    return [
        {
            "reference": references[credit_id],
            "credit_id": credit_id,
            "amount": format_amount(join_halves(high, low)),
            "expired_at": format_instant(at),
        }
        for credit_id, at, high, low in connection.execute(
            query.group_by(ExpiryRow.credit_id).order_by(ExpiryRow.credit_id)
        )
    ]


def _imported(used: ImportedUsage) -> dict[str, Any]:
    """What a model used of a meter before costmeter, by the vendor's console; requests have no price."""
    price, quantity = used.price, used.amount
    return {
        "model": used.model,
        "meter": used.meter,
        "quantity": quantity,
        "price": None if price is None else format_amount(price),
        "amount": None if price is None else format_amount(price * quantity),
    }


def _imported_cost(cost: ImportedCost) -> dict[str, Any]:
    return {**cost._asdict(), "cost": format_amount(cost.cost)}
