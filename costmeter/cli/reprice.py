"""`costmeter reprice`: charge again what the present price book prices otherwise."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from costmeter import wiring
from costmeter.cli.database import database
from costmeter.cli.options import AnyAccount, AsJson, By, decided_by
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.core.money import format_amount
from costmeter.core.periods import check_month
from costmeter.prices.read import read_edition
from costmeter.services.reprice import Group, Repriced
from costmeter.services.reprice import reprice as reprice_charges
from costmeter.store import accounts
from costmeter.store.engine import reading

_COUNTS = ("charges", "unpriced_before", "unpriced_after")


def reprice(
    account: AnyAccount = None,
    month: Annotated[str | None, typer.Option(help="Only calls completed in this month of the account's zone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; post nothing.")] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Price again what the present price book prices otherwise, unpriced and provisional calls included.

    Each such charge is reversed and made again: in its own month where that is open, else as an adjustment in the month
    of booking. Run again, it changes nothing; interrupted, it goes on.

    --json is {"dry_run", "edition", "rows": [{"account", "currency", "month", "tariff", "project", "charges",
    "unpriced_before", "unpriced_after", "before", "after", "difference"}], "totals": [{"currency", the same numbers}]};
    month is that of completion, tariff the new one (null: no price), project null where a call has none.
    """
    if month is not None:
        check_month(month)
    found = _repriced(account, month, dry_run, decided_by(by))
    rows = [_row(group, sums) for group, sums in sorted(found.items(), key=lambda item: [str(key) for key in item[0]])]
    totals = [_total(currency, found) for currency in sorted({group.currency for group in found})]
    if as_json:
        edition = wiring.price_book().edition
        print_json({"dry_run": dry_run, "edition": edition, "rows": rows, "totals": totals})
        return
    if not rows:
        print_line("nothing to price again: every charge is what the present price book says")
        return
    print_table(_columns(rows[0]), [[_cell(value) for value in row.values()] for row in rows])
    for total in totals:
        said = "would be charged" if dry_run else "charged"
        amounts = f"{total['before']} -> {total['after']} {total['currency']} ({total['difference']})"
        print_line(f"{total['charges']:,} calls {said} again: {amounts}")


def _repriced(account: str | None, month: str | None, dry_run: bool, by: str) -> dict[Group, Repriced]:
    progress = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with database() as engine, progress:
        task = progress.add_task("pricing again", total=None)
        if account is not None:
            with reading(engine) as connection:
                account = accounts.get(connection, account).account
        return reprice_charges(
            engine,
            None if account is None else [account],
            book=wiring.price_book(),
            read_book=read_edition,
            by=by,
            now=datetime.now(UTC),
            month=month,
            dry_run=dry_run,
            progress=lambda count: progress.update(task, advance=count),
        )


def _row(group: Group, sums: Repriced) -> dict[str, Any]:
    return {**group._asdict(), **_numbers(sums)}


def _numbers(sums: Repriced) -> dict[str, Any]:
    amounts = {"before": sums.before, "after": sums.after, "difference": sums.after - sums.before}
    return {**{name: asdict(sums)[name] for name in _COUNTS}, **{k: format_amount(v) for k, v in amounts.items()}}


def _total(currency: str, found: dict[Group, Repriced]) -> dict[str, Any]:
    mine = [sums for group, sums in found.items() if group.currency == currency]
    total = Repriced(**{name: sum(asdict(sums)[name] for sums in mine) for name in Repriced.__dataclass_fields__})
    return {"currency": currency, **_numbers(total)}


def _columns(row: dict[str, Any]) -> dict[str, str]:
    sides = dict.fromkeys(row, "left") | dict.fromkeys(_COUNTS, "right")
    sides |= dict.fromkeys(("before", "after", "difference"), "amount")
    return {name.replace("_", " "): side for name, side in sides.items()}


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
