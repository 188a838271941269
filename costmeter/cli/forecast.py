"""`costmeter forecast`: what the month will come to, and how long the balance lasts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import Account, AsJson, Month, Where
from costmeter.cli.output import print_json, print_line, print_note, print_table
from costmeter.core.budgets import TOKENS
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.reports.forecast import forecast_report
from costmeter.store import accounts
from costmeter.store.known import count_unposted
from costmeter.store.tables import EventRow

_NAMES = {"granted": "granted", "topped_up": "topped up", "total": "all of it"}


def forecast(
    account: Account = DEFAULT_ACCOUNT,
    month: Month = None,
    where: Where = None,
    unit: Annotated[str | None, typer.Option(help="The account's currency, or tokens.")] = None,
    as_json: AsJson = False,
) -> None:
    """What a month will come to, by default this one, and how many days the balance lasts.

    What is spent is exact. The forecast is not: its range is meant to hold in 80 of 100 months.
    """
    now = datetime.now(UTC)
    with snapshot() as connection:
        shape = forecast_report(connection, account, now=now, month=month, where=where or (), unit=unit)
        found = accounts.get(connection, account)
        unposted = count_unposted(connection, None, EventRow.account == found.account)
    if as_json:
        print_json(shape)
    else:
        _print(shape)
    if unposted:
        print_note(f"costmeter: {unposted} calls are not posted yet and not counted")
    note_frozen([found])


def _print(shape: Mapping[str, Any]) -> None:
    only = "".join(f", {key}={value}" for key, value in shape["where"].items())
    print_line(f"{shape['month']} of account {shape['account']}{only}, in {shape['unit']}, as of {shape['as_of']}")
    side = "right" if shape["unit"] == TOKENS else "amount"
    print_table({"": "left", shape["unit"]: side, " ": "left"}, forecast_rows(shape))
    if shape["reason"] is not None:
        print_line(f"no forecast: {shape['reason']}")
    if shape["unpriced"]:
        print_line(f"{shape['unpriced']:,} calls of the month have no price and are not in its cost")
    if shape["runway"] is not None:
        print_runway(shape["runway"])


def forecast_rows(shape: Mapping[str, Any]) -> list[list[str]]:
    """What is spent, what is foreseen and what the month before was, as rows of a table."""
    rows = [["spent so far", _number(shape["spent"]), ""]]
    told = shape["forecast"]
    if told is not None:
        basis = told["basis"]
        made = f"from {basis['days']} days since {basis['since']}" if basis["since"] else "the month is over"
        rows += [
            ["forecast", _number(told["amount"]), made],
            ["  low", _number(told["low"]), ""],
            ["  high", _number(told["high"]), f"the range holds in {told['coverage_percent']} of 100 months"],
        ]
    last = shape["last_month"]
    if last is not None:
        rows.append([f"in {last['month']}", _number(last["spent"]), _change(last)])
    return rows


def print_runway(runway: Mapping[str, Any]) -> None:
    """A table of what each kind of balance has, and how long it lasts."""
    rows = [[name, runway[key]["balance"], *_lasting(runway[key], runway)] for key, name in _NAMES.items()]
    columns = {"balance": "left", runway["currency"]: "amount", "lasts": "left", "runs out on": "left"}
    print_table(columns, rows)
    if runway["reason"] is not None:
        print_line(f"no runway: {runway['reason']}")
    if runway["expires_unspent"] not in (None, "0.00"):
        print_line(f"at this pace {runway['expires_unspent']} {runway['currency']} of grants would expire unspent")


def _lasting(part: Mapping[str, Any], runway: Mapping[str, Any]) -> list[str]:
    if part["days"] is None:
        return ["unknown" if runway["reason"] else "nothing is spent", ""]
    if part["runs_out_on"] is None:
        return [f"more than {runway['horizon_days']} days", ""]
    return [f"{part['days']} days", part["runs_out_on"]]


def _change(last: Mapping[str, Any]) -> str:
    if last["change_percent"] is None:
        return ""
    more = "less" if str(last["change"]).startswith("-") else "more"
    return f"the forecast is {last['change_percent'].removeprefix('-')} % {more}"


def _number(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value
