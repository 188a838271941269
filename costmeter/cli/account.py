"""`costmeter account`: who is billed, in which currency and time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from costmeter import wiring
from costmeter.cli.database import database, snapshot
from costmeter.cli.options import AsJson, By, Currency, Timezone, decided_by
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.core.money import format_amount, parse_amount
from costmeter.core.periods import parse_instant
from costmeter.core.secrets import without_secrets
from costmeter.reports.shapes import account_detail, account_shape, credit_shape, freeze_shape
from costmeter.services.add_account import add_account
from costmeter.services.open_account import Opening, open_account
from costmeter.services.post_charges import post_charges
from costmeter.services.release_account import release_account
from costmeter.store import accounts

app = typer.Typer(help="Accounts: each keeps a balance in one currency and bills by one time zone.")
Name = Annotated[str, typer.Argument(help="The account's name.")]


@app.command()
def add(
    name: Name, currency: Currency = None, timezone: Timezone = None, by: By = None, as_json: AsJson = False
) -> None:
    """Add an account; currency and time zone can be changed until its first posted entry."""
    with database() as engine:
        account, made = add_account(
            engine,
            name,
            currency=currency,
            timezone=timezone,
            by=decided_by(by),
            home=wiring.home(),
            now=datetime.now(UTC),
        )
    if as_json:
        print_json({**account_shape(account), "created": made})
    else:
        print_line(f"{'added' if made else 'kept'} account {name}: {account.currency}, {account.timezone}")


@app.command("open")
def open_(
    name: Name,
    at: Annotated[str, typer.Option(help="From this RFC 3339 instant on calls are deducted.")],
    granted: Annotated[str, typer.Option(help="The granted balance then.")] = "0",
    topped_up: Annotated[str, typer.Option(help="The topped-up balance then.")] = "0",
    granted_expires_at: Annotated[str | None, typer.Option(help="When what was granted expires.")] = None,
    currency: Currency = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Open an account that already has a balance. Calls completed before are reported and not deducted.

    Opened again the same way nothing is changed; another way it is refused.
    """
    opening = Opening(
        name,
        parse_instant(at, "at"),
        parse_amount(granted, "granted"),
        parse_amount(topped_up, "topped_up"),
        None if granted_expires_at is None else parse_instant(granted_expires_at, "granted_expires_at"),
        currency,
    )
    with database() as engine:
        booked, made = open_account(engine, opening, by=decided_by(by), home=wiring.home(), now=datetime.now(UTC))
    if as_json:
        print_json({"account": name, "created": made, "credits": [credit_shape(one) for one in booked]})
        return
    amounts = " and ".join(f"{format_amount(one.credit.amount)} {one.currency} {one.credit.kind}" for one in booked)
    print_line(f"{'opened' if made else 'kept, was opened before:'} account {name} with {amounts}")


@app.command("list")
def list_accounts(as_json: AsJson = False) -> None:
    """List the accounts."""
    with snapshot() as connection:
        found = [account_shape(account) for account in accounts.listed(connection)]
    if as_json:
        print_json(found)
    else:
        rows = [(a["account"], a["currency"], a["timezone"], a["created_at"], a["frozen_at"] or "") for a in found]
        print_table(dict.fromkeys(("account", "currency", "time zone", "created", "frozen"), "left"), rows)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show an account: its opening, credits, overdraft, what is not posted yet, and why it was frozen or released."""
    with snapshot() as connection:
        shown = account_detail(connection, accounts.get(connection, name))
    if as_json:
        print_json(shown)
        return
    decided = shown.pop("freezes")
    unknown = {"tracked_from": "not tracked: it has no credit", "frozen_at": "no"}
    for key, value in shown.items():
        print_line(f"{key.replace('_', ' '):<14}{unknown[key] if value is None else value}")
    for freeze in decided:
        print_line(f"{freeze['kind']:<14}{freeze['decided_at']} by {freeze['decided_by']}: {freeze['reason']}")


@app.command()
def release(
    name: Name,
    by: Annotated[str, typer.Option(help="Who answers for its ledger as it stands.")],
    reason: Annotated[str, typer.Option(help="Why posting may go on.")],
    as_json: AsJson = False,
) -> None:
    """Release an account that verify has frozen: what waits is posted, and posting goes on.

    Its facts are not changed; what is kept beside them is rebuilt. From here on verify begins at this state, and only
    verify --full tells again what was broken before.
    """
    now = datetime.now(UTC)
    with database() as engine:
        made = release_account(engine, name, by=by, reason=reason, now=now)
        posted = post_charges(engine, without_secrets(name), book=wiring.price_book(), now=now)
    if as_json:
        print_json({"account": name, **freeze_shape(made), "posted": posted})
    else:
        print_line(f"released account {name}: {posted} calls that waited are posted")
