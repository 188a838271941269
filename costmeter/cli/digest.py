"""`costmeter digest`: the last day, week or month that is over, as its mail tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.forecast import forecast_rows, print_runway
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AnyAccount, AsJson, Currency
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.cli.report import CONCERNS
from costmeter.core.digests import check_digest
from costmeter.core.money import check_currency
from costmeter.reports.digest import digest_report
from costmeter.store import accounts


def digest(
    kind: Annotated[str, typer.Argument(help="daily, weekly or monthly.")],
    account: AnyAccount = None,
    currency: Currency = None,
    as_json: AsJson = False,
) -> None:
    """What the last day, week or month that is over cost, against the one before; the forecast, and the balance."""
    check_digest(kind)
    if currency is not None:
        check_currency(currency)
    with snapshot() as connection:
        shape = digest_report(connection, kind, datetime.now(UTC), account=account, currency=currency)
        frozen = [one for one in accounts.frozen(connection) if shape["account"] in (None, one.account)]
    if as_json:
        print_json(shape)
    else:
        _print(shape)
    note_frozen([one for one in frozen if one.currency == shape["currency"]])


def _print(shape: Mapping[str, Any]) -> None:
    whose = f"account {shape['account']}" if shape["account"] is not None else f"{shape['accounts']:,} accounts"
    print_line(f"The {shape['digest']} digest of {shape['name']}, {whose}, in {shape['currency']}")
    print_line(f"{shape['from']} to {shape['to']} (end excluded), days of {shape['timezone']}")
    spend = shape["spend"]
    print_line(f"{spend['calls']:,} calls cost {spend['cost']}{_against(spend)}")
    print_line(f"cache savings {spend['cache_savings']}, off-peak savings {spend['off_peak_savings']}")
    for name in ("project", "model", "band"):
        _print_shares(name, shape[f"by_{name}"])
    if shape["budgets"]:
        columns = {"budget": "left", "per": "left", "of": "amount", "spent": "amount", "unit": "left", "used": "right"}
        print_table(columns, [_budget(one) for one in shape["budgets"]])
    for name, count in shape["doubts"].items():
        if count:
            print_line(f"{count:>8,} {'call' if count == 1 else 'calls'} {CONCERNS[name]}")
    told = shape["forecast"]
    if told is not None:
        print_table({told["month"]: "left", told["unit"]: "amount", " ": "left"}, forecast_rows(told))
        if told["reason"] is not None:
            print_line(f"no forecast: {told['reason']}")
    if shape["runway"] is not None:
        print_runway(shape["runway"])


def _print_shares(name: str, shares: Mapping[str, Any]) -> None:
    rows = [
        [one["name"] or "(none)", one["cost"], _percent(one["percent"]), one["before"] or "-", one["change"] or "-"]
        for one in shares["top"]
    ]
    if shares["others"]["count"]:
        rows.append([f"{shares['others']['count']:,} others", shares["others"]["cost"], "", "", ""])
    columns = {name: "left", "cost": "amount", "share": "right", "before": "amount", "change": "amount"}
    if rows:
        print_table(columns, rows)


def _budget(one: Mapping[str, Any]) -> list[str]:
    return [one["budget"], one["per"], one["amount"], one["spent"], one["unit"], f"{one['used_percent']} %"]


def _against(spend: Mapping[str, Any]) -> str:
    if spend["before"] is None:
        return ""
    percentage = "" if spend["change_percent"] is None else f", {_percent(spend['change_percent'])}"
    return f"; {spend['before']} the time before (change {spend['change']}{percentage})"


def _percent(share: str | None) -> str:
    return "-" if share is None else f"{share} %"
