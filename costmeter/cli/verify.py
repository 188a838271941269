"""`costmeter verify`: the promises, checked on the database at hand."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from costmeter.cli.database import database
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AnyAccount, AsJson
from costmeter.cli.output import print_json, print_line, print_note
from costmeter.services.verify import PROMISES, Finding, count_unverified
from costmeter.services.verify import verify as verify_promises
from costmeter.store import accounts
from costmeter.store.accounts import Account
from costmeter.store.engine import reading


def verify(
    account: AnyAccount = None,
    full: Annotated[bool, typer.Option("--full", help="Check everything again, from the first fact on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check promises 1 to 6 by replaying the ledger from its facts. Exit 1 where one is broken or an account is frozen.

    The usual run checks what is new since the last one. An account that fails is frozen: its calls go on being
    recorded, but nothing is posted to it until somebody releases it (costmeter account release).
    """
    checked, findings, in_scope = _verified(account, full)
    frozen = [one for one in in_scope if one.frozen_at is not None]
    if as_json:
        shown = [finding._asdict() for finding in findings]
        print_json({"charges": checked, "findings": shown, "frozen": [one.account for one in frozen]})
    else:
        broken = {finding.promise for finding in findings}
        for number, promise in PROMISES.items():
            print_line(f"{'BROKEN' if number in broken else 'kept':<7} {number}. {promise}")
        print_line(f"{checked:,} charges checked{'' if full else ' that were new'}")
        for finding in findings:
            print_note(f"promise {finding.promise}, account {finding.account}: {finding.what}")
    note_frozen(frozen)
    raise typer.Exit(int(bool(findings or frozen)))


def _verified(name: str | None, full: bool) -> tuple[int, list[Finding], list[Account]]:
    """How many charges were checked, what breaks a promise, and the accounts as they stand after it."""
    checked = 0
    progress = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with database() as engine, progress:
        with reading(engine) as connection:
            names = None if name is None else [accounts.get(connection, name).account]
        task = progress.add_task("verifying", total=max(count_unverified(engine, names, full=full), 1))

        def advance(count: int) -> None:
            nonlocal checked
            checked += count
            progress.update(task, advance=count)

        findings = verify_promises(engine, names, full=full, progress=advance)
        with reading(engine) as connection:
            return checked, findings, accounts.listed(connection, names)
