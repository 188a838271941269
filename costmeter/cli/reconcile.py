"""`costmeter reconcile`: what is recorded beside DeepSeek's own books."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from costmeter import wiring
from costmeter.cli.database import database, snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import Account, AnyAccount, AsJson, By, Currency, decided_by
from costmeter.cli.output import output_file, print_json, print_line, print_note, print_table
from costmeter.core.errors import InputError
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.reports.shapes import observation_shape
from costmeter.services.explain_observation import explain_observation
from costmeter.services.read_console import read_console
from costmeter.services.reconcile_balance import reconcile_balance
from costmeter.services.reconcile_export import Reconciled, reconcile_export
from costmeter.store import accounts, observations
from costmeter.store.engine import reading
from costmeter.store.observations import AGREED, EXPLAINED, OPEN, Observation
from costmeter.store.texts import guarded

app = typer.Typer(help="Compare what is recorded with DeepSeek's own books.")
Number = Annotated[int, typer.Argument(help="The observation, as the list numbers it.")]
_COLUMNS = ("from", "to", "model", "kind", "meter", "price_per_million", "recorded", "exported", "difference")
_SIDES = dict.fromkeys(_COLUMNS[:5], "left") | dict.fromkeys(_COLUMNS[5:], "right")


class State(StrEnum):
    AGREED = AGREED
    OPEN = OPEN
    EXPLAINED = EXPLAINED
    ALL = "all"


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


@app.command()
def balance(
    account: Account = DEFAULT_ACCOUNT,
    currency: Currency = None,
    url: Annotated[str | None, typer.Option(help="DeepSeek's API; default: that of the settings.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask DeepSeek for the balance, compare, and keep what was seen. Exit 1 where a difference is open.

    The key is that of COSTMETER_DEEPSEEK_API_KEY, or of the file that ..._FILE names; it is neither stored nor shown.
    """
    ask = wiring.vendor_balance(url)
    with database() as engine:
        book = wiring.price_book()
        seen = reconcile_balance(engine, account, ask, book=book, clock=lambda: datetime.now(UTC), currency=currency)
        with reading(engine) as connection:
            found = accounts.get(connection, account)
    if as_json:
        print_json(observation_shape(seen))
    else:
        _print(seen)
    note_frozen([found])
    raise typer.Exit(int(seen.status == OPEN))


@app.command("list")
def list_observations(
    account: AnyAccount = None,
    state: Annotated[State, typer.Option(help="Which to list.")] = State.ALL,
    as_json: AsJson = False,
) -> None:
    """List the balances that were observed, newest first."""
    with snapshot() as connection:
        found = observations.listed(connection, account, status=None if state is State.ALL else state.value)
    if as_json:
        print_json([observation_shape(seen) for seen in found])
        return
    texts, amounts = ("number", "account", "observed", "status"), ("observed total", "expected", "difference")
    columns = dict.fromkeys(texts, "left") | dict.fromkeys(amounts, "amount") | {"currency": "left"}
    print_table(columns, [_listed(seen) for seen in found])


@app.command()
def show(number: Number, account: Account = DEFAULT_ACCOUNT, as_json: AsJson = False) -> None:
    """Show one observation, and what may explain its difference."""
    with snapshot() as connection:
        seen = observations.get(connection, account, number)
    if as_json:
        print_json(observation_shape(seen))
    else:
        _print(seen)


@app.command()
def explain(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why the difference stands.")],
    account: Account = DEFAULT_ACCOUNT,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take a difference for explained, by somebody who answers for it; no money moves."""
    with database() as engine:
        said, now = decided_by(by), datetime.now(UTC)
        seen = explain_observation(engine, account, number, by=said, reason=reason, now=now)
    if as_json:
        print_json(observation_shape(seen))
    else:
        print_line(f"observation {seen.number} of account {seen.account} is explained")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The ZIP that DeepSeek's console exported.")],
    account: Account = DEFAULT_ACCOUNT,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a console's export with what is recorded, interval by interval. Exit 1 where the two differ."""
    if output is not None and form is Format.TABLE and not as_json:
        raise InputError("output", str(output), "goes with --format json, csv or html")
    read = read_console(file)
    with snapshot() as connection:
        found = reconcile_export(connection, account, read)
    for row in found.refused:
        print_note(f"{row.place}: refused: {row.error}")
    rows = [difference.as_dict() for difference in found.differences]
    if as_json or form is Format.JSON:
        with output_file(output) as out:
            out.write(json.dumps(_result(found, file.name, rows), indent=2, ensure_ascii=False) + "\n")
    elif form is Format.CSV:
        with output_file(output) as out:
            _write_csv(out, rows)
    elif form is Format.HTML:
        from costmeter.exports.comparison_page import comparison_html

        with output_file(output) as out:
            out.write(comparison_html(_result(found, file.name, rows)))
    else:
        _print_table(found, rows)
    note_frozen([found.account])
    raise typer.Exit(int(not found.agrees))


def _listed(seen: Observation) -> list[str]:
    expected = seen.expected_granted + seen.expected_topped_up
    amounts = map(format_amount, (seen.observed.total, expected, seen.difference.total))
    texts = (str(seen.number), seen.account, format_instant(seen.observed_at), seen.status)
    return [*texts, *amounts, seen.currency]


def _print(seen: Observation) -> None:
    """An observation for people: both balances, then what may explain a difference, the likeliest first."""
    shape = observation_shape(seen)
    rows = [[name, *shape[name].values()] for name in ("observed", "expected", "difference")]
    title = (
        f"observation {seen.number} of account {seen.account} at {shape['observed_at']}, {seen.currency}: {seen.status}"
    )
    columns = {"": "left", "granted": "amount", "topped up": "amount", "total": "amount"}
    print_table(columns, rows, title=title)
    if seen.unposted:
        print_line(f"{seen.unposted:,} calls were not posted yet and are not in what is expected")
    if seen.decided_by:
        print_line(f"explained by {seen.decided_by}: {seen.reason}")
    fitting = seen.findings.get("fitting", 0)
    for finding in seen.findings.get("findings", []):
        fits = "explains all of it" if finding["fits"] else f"would leave {finding['left']}"
        print_line(f"  {finding['kind'].replace('_', ' ')} ({fits}): {finding['evidence']}")
    if fitting > 1:
        print_line(f"{fitting} explanations fit, the likeliest first; none of them is certain")


def _result(found: Reconciled, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    refused = [row._asdict() for row in found.refused]
    same = {"file": name, "account": found.account.account, "currency": found.account.currency}
    return {
        **same,
        "intervals": len(found.intervals),
        "agrees": found.agrees,
        "differences": rows,
        "unmetered": found.unmetered,
        "refused": refused,
    }


def _write_csv(out: TextIO, rows: list[dict[str, Any]]) -> None:
    """The differences; a model's name that a spreadsheet would run as a formula begins with an apostrophe."""
    writer = csv.DictWriter(out, _COLUMNS)
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "model": guarded(row["model"])})


def _print_table(found: Reconciled, rows: list[dict[str, Any]]) -> None:
    first, last = format_instant(found.intervals[0].start), format_instant(found.intervals[-1].end)
    of_what = f"account {found.account.account}, {found.account.currency}, {first} to {last}"
    if rows:
        print_table(
            _SIDES, [["" if row[name] is None else row[name] for name in _COLUMNS] for row in rows], title=of_what
        )
        print_line(f"{len(rows):,} differences in {len(found.intervals):,} intervals")
        if found.unmetered:
            print_line(
                f"{found.unmetered:,} calls of that time are unmetered: what they used may be what is missing here"
            )
    else:
        print_line(f"{of_what}: {len(found.intervals):,} intervals agree to the last digit")
