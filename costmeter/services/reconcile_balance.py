"""Reconcile a balance: ask DeepSeek, compare with the ledger, keep what was seen and what could explain it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.core.money import format_amount
from costmeter.core.observed_balance import ObservedBalance, Pots, read_balance
from costmeter.core.periods import format_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.reconciliation import explain
from costmeter.services.gather_evidence import gather_evidence
from costmeter.store import accounts, credits, evidence, observations
from costmeter.store.accounts import Account
from costmeter.store.balances import balance_at
from costmeter.store.engine import in_transaction, reading
from costmeter.store.known import count_unposted
from costmeter.store.observations import AGREED, EXPLAINED, OPEN, Observation
from costmeter.store.tables import EventRow

MOST_PREFIXES = 100  # calls that completed while DeepSeek was asked, each of which it may have had or not
MOST_BEFORE = 20  # open observations that a difference is followed through


class _Asked(NamedTuple):
    """The answer, and the account's version and the instants around the question."""

    balance: ObservedBalance
    version: int
    began_at: datetime
    ended_at: datetime


def reconcile_balance(
    engine: Engine,
    account: str,
    ask: Callable[[], object],
    *,
    book: PriceBook,
    clock: Callable[[], datetime],
    currency: str | None = None,
) -> Observation:
    """The observation, which is kept: agreed, open with its findings, or explained as one before it was.

    `ask` gives the body of GET /user/balance. The ledger agrees where it does at any instant while DeepSeek was asked:
    calls that end meanwhile may be in the answer or not. InputError for another currency than the account's, for an
    answer of another shape, and where the account has no balance to compare with.
    """
    with reading(engine) as connection:
        found = accounts.get(connection, account)
        _check_currency(found, currency)
    began_at = clock()
    body = ask()
    asked = _Asked(read_balance(body, found.currency), found.version, began_at, clock())
    with reading(
        engine
    ) as connection:  # what explains a difference may take long, and must not keep calls from posting
        seen = _observe(connection, found.account, asked, book)
    return in_transaction(engine, lambda connection: _keep(connection, seen))


def _check_currency(account: Account, currency: str | None) -> None:
    if currency is not None and currency != account.currency:
        remedy = f"account {account.account!r} is kept in {account.currency}; choose an account of that currency"
        raise InputError("currency", currency, remedy)


def _observe(connection: Connection, name: str, asked: _Asked, book: PriceBook) -> Observation:
    account = accounts.get(connection, name)
    _check_tracked(connection, account, asked)
    expected_at, expected = _closest(connection, account, asked)
    observed, total, body = asked.balance.pots, asked.balance.total, asked.balance.body
    seen = Observation(
        account=name,
        number=0,  # given when it is kept
        observed_at=asked.ended_at,
        currency=account.currency,
        granted=observed.granted,
        topped_up=observed.topped_up,
        total=total,
        body=body,
        expected_at=expected_at,
        expected_granted=expected.granted,
        expected_topped_up=expected.topped_up,
        version_before=asked.version,
        version=account.version,
        unposted=count_unposted(connection, None, EventRow.account == name),
        findings={},
        status=AGREED,
    )
    if not seen.difference.is_within_precision:
        return _explained(connection, account, seen, book)
    return seen


def _keep(connection: Connection, seen: Observation) -> Observation:
    accounts.lock(connection, seen.account)
    kept = seen._replace(number=observations.next_number(connection, seen.account))
    observations.add(connection, kept)
    return kept


def _check_tracked(connection: Connection, account: Account, asked: _Asked) -> None:
    begun = [one.credit.effective_at for one in credits.of_account(connection, account.account) if one.void is None]
    if min(begun, default=asked.ended_at) < asked.ended_at:
        return
    granted, topped_up = (format_amount(amount) for amount in asked.balance.pots)
    at = format_instant(asked.ended_at)
    raise InputError(
        "account",
        account.account,
        "has no balance to compare with; if DeepSeek's is right, begin with it: costmeter account open "
        f"{account.account} --at {at} --granted {granted} --topped-up {topped_up}",
    )


def _closest(connection: Connection, account: Account, asked: _Asked) -> tuple[datetime, Pots]:
    """The ledger's balance at the first instant of the question, from its end back, that agrees; else at its end."""
    name, began, ended = account.account, asked.began_at, asked.ended_at
    at_end = _expected(connection, account, ended)
    between = evidence.completions(connection, name, began, ended, MOST_PREFIXES)
    for instant in (ended, *between, began):
        expected = at_end if instant == ended else _expected(connection, account, instant)
        if asked.balance.pots.less(expected).is_within_precision:
            return instant, expected
    return ended, at_end


def _expected(connection: Connection, account: Account, at: datetime) -> Pots:
    balance = balance_at(connection, account, at)
    return Pots(balance.granted, balance.topped_up)


def _explained(connection: Connection, account: Account, seen: Observation, book: PriceBook) -> Observation:
    """The observation with what may explain its difference to the last balance that was settled."""
    settled = observations.last_settled(connection, account.account)
    known = settled.difference if settled is not None and settled.status == EXPLAINED else Pots(0, 0)
    difference = seen.difference.less(known)
    if settled is not None and difference.is_within_precision:
        said = f"as observation {settled.number}: {settled.reason}"
        return seen._replace(
            status=EXPLAINED, decided_at=settled.decided_at, decided_by=settled.decided_by, reason=said
        )
    number, since = (0, None) if settled is None else (settled.number, settled.expected_at)
    evidence = gather_evidence(
        connection,
        account,
        book=book,
        since=since,
        known=known,
        before=observations.open_since(connection, account.account, number, MOST_BEFORE),
        difference=difference,
        expected=Pots(seen.expected_granted, seen.expected_topped_up),
        at=seen.expected_at,
    )
    found = explain(difference, evidence)
    findings = {
        "since": since and format_instant(since),
        "difference": {
            "granted": format_amount(difference.granted),
            "topped_up": format_amount(difference.topped_up),
            "total": format_amount(difference.total),
        },
        "fitting": sum(finding.fits for finding in found),
        "findings": [finding.as_dict() for finding in found],
    }
    return seen._replace(status=OPEN, findings=findings)
