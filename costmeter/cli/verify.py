"""`costmeter verify`: the promises, checked on the database at hand."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.progress import Progress

from costmeter.cli.database import database
from costmeter.cli.options import AnyAccount, AsJson
from costmeter.cli.output import print_json, print_line, print_note
from costmeter.services.verify import PROMISES, Finding
from costmeter.services.verify import verify as verify_promises
from costmeter.store import accounts
from costmeter.store.engine import reading


def verify(account: AnyAccount = None, as_json: AsJson = False) -> None:
    """Check promises 1 to 6 by replaying the ledger from its facts. Exit 1 where one is broken."""
    checked, findings = _verified(account)
    if as_json:
        print_json({"charges": checked, "findings": [finding._asdict() for finding in findings]})
    else:
        broken = {finding.promise for finding in findings}
        for number, promise in PROMISES.items():
            print_line(f"{'BROKEN' if number in broken else 'kept':<7} {number}. {promise}")
        print_line(f"{checked:,} charges checked")
        for finding in findings:
            print_note(f"promise {finding.promise}, account {finding.account}: {finding.what}")
    raise typer.Exit(int(bool(findings)))


def _verified(account: str | None) -> tuple[int, list[Finding]]:
    """How many charges were checked, and what breaks a promise."""
    checked = 0
    progress = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with database() as engine, progress:
        task = progress.add_task("verifying", total=None)

        def advance(count: int) -> None:
            nonlocal checked
            checked += count
            progress.update(task, advance=count)

        if account is not None:
            with reading(engine) as connection:
                accounts.get(connection, account)
        findings = verify_promises(engine, None if account is None else [account], progress=advance)
    return checked, findings
