"""`costmeter credit`: balance that was granted or topped up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.database import database, snapshot
from costmeter.cli.options import Account, AsJson, By, Currency, decided_by
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.ledger import TOPPED_UP
from costmeter.core.money import format_amount, parse_amount
from costmeter.core.periods import parse_instant
from costmeter.reports.shapes import correction_shape, credit_shape
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.correct_balance import NewCorrection, correct_balance
from costmeter.services.void_credit import void_credit
from costmeter.store import accounts, credits

app = typer.Typer(help="Credits: what an account may spend, granted before topped up.")


@app.command()
def add(
    kind: Annotated[str, typer.Option(help="granted or topped_up.")],
    amount: Annotated[str, typer.Option(help='A decimal string such as "5.00".')],
    account: Account = DEFAULT_ACCOUNT,
    currency: Currency = None,
    effective_at: Annotated[
        str | None, typer.Option(help="Calls completed from here on may spend it; default: now.")
    ] = None,
    expires_at: Annotated[str | None, typer.Option(help="Calls completed from here on may not; granted only.")] = None,
    reference: Annotated[str | None, typer.Option(help="With a reference a credit is booked once.")] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Add a credit: always without a reference, once with one."""
    new = NewCredit(
        account=account,
        kind=kind,
        amount=parse_amount(amount),
        currency=currency,
        effective_at=parse_instant(effective_at, "effective_at") if effective_at is not None else None,
        expires_at=parse_instant(expires_at, "expires_at") if expires_at is not None else None,
        reference=reference,
    )
    with database() as engine:
        booked, created = add_credit(engine, new, by=decided_by(by), home=wiring.home(), now=datetime.now(UTC))
    if as_json:
        print_json({**credit_shape(booked), "account": account, "created": created})
        return
    word = "added" if created else "kept, was added before:"
    print_line(f"{word} {format_amount(booked.credit.amount)} {booked.currency} {kind} for account {account}")


@app.command("list")
def list_credits(account: Account = DEFAULT_ACCOUNT, as_json: AsJson = False) -> None:
    """List an account's credits and what each has left."""
    with snapshot() as connection:
        account = accounts.get(connection, account).account
        left = credits.balances(connection, account)
        found = [credit_shape(one, left[one.credit.credit_id]) for one in credits.of_account(connection, account)]
    if as_json:
        print_json(found)
        return
    columns = dict.fromkeys(
        ("credit", "kind", "amount", "remaining", "expired", "effective", "expires", "reference", "voided"), "left"
    )
    columns |= dict.fromkeys(("amount", "remaining", "expired"), "amount")
    fields = (
        "credit_id",
        "kind",
        "amount",
        "remaining",
        "expired",
        "effective_at",
        "expires_at",
        "reference",
        "voided",
    )
    print_table(columns, [[_cell(c[f]) for f in fields] for c in found])


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['at']} by {value['by']}: {value['reason']}"
    return "" if value is None else str(value)


@app.command()
def correct(
    amount: Annotated[str, typer.Option(help='By how much the balance is wrong: "0.05" too low, "-0.05" too high.')],
    reason: Annotated[str, typer.Option(help="Why; kept in the books and printed on the statement.")],
    kind: Annotated[str, typer.Option(help="granted or topped_up.")] = TOPPED_UP,
    effective_at: Annotated[str | None, typer.Option(help="From when on; default: now.")] = None,
    by: By = None,
    account: Account = DEFAULT_ACCOUNT,
    as_json: AsJson = False,
) -> None:
    """Correct a balance by an entry of its own, in somebody's name. Downwards it takes from the topped-up balance."""
    at = None if effective_at is None else parse_instant(effective_at, "effective_at")
    new = NewCorrection(account, parse_amount(amount), reason, kind, at)
    with database() as engine:
        made = correct_balance(engine, new, by=decided_by(by), now=datetime.now(UTC))
    if as_json:
        print_json({"account": account, **correction_shape(made)})
        return
    print_line(f"corrected account {account} by {format_amount(made.amount)} {made.kind}")


@app.command()
def void(
    reference: Annotated[str, typer.Argument(help="The reference of the credit.")],
    reason: Annotated[str, typer.Option(help="Why it is taken back; kept in the books.")],
    by: By = None,
    account: Account = DEFAULT_ACCOUNT,
    as_json: AsJson = False,
) -> None:
    """Take a credit back as if it had never been given; what it paid is paid by others or owed. Once.

    --json is the credit as `credit list` has it, with "account" and "voided": {"at", "by", "reason"}.
    """
    with database() as engine:
        booked = void_credit(engine, account, reference, reason=reason, by=decided_by(by), now=datetime.now(UTC))
    if as_json:
        print_json({**credit_shape(booked), "account": account})
        return
    credit = booked.credit
    print_line(f"voided {format_amount(credit.amount)} {booked.currency} {credit.kind} of account {account}")
