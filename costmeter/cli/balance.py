"""`costmeter balance`: what an account has, in DeepSeek's own shape but exact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.options import Account, AsJson
from costmeter.cli.output import print_json, print_note, print_table
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.periods import format_instant, parse_instant
from costmeter.store import accounts, events
from costmeter.store.balances import balance_at
from costmeter.store.tables import PendingRow


def balance(
    account: Account = DEFAULT_ACCOUNT,
    at: Annotated[str | None, typer.Option(help="As of this RFC 3339 instant; default: now.")] = None,
    as_json: AsJson = False,
) -> None:
    """What an account has; overdraft makes the topped-up balance negative."""
    instant = parse_instant(at, "at") if at is not None else datetime.now(UTC)
    with snapshot() as connection:
        shown = balance_at(connection, accounts.get(connection, account), instant).as_dict()
        unposted = events.count_pending(connection, PendingRow.account == account)
    if as_json:
        print_json(shown)
    else:
        rows = [list(info.values()) for info in shown["balance_infos"]]
        columns = {"currency": "left", "total": "amount", "granted": "amount", "topped up": "amount"}
        available = "available" if shown["is_available"] else "not available"
        print_table(columns, rows, title=f"{account} at {format_instant(instant)}: {available}")
    if unposted:
        print_note(f"costmeter: {unposted} calls are not posted yet and not in this balance")
