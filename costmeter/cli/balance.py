"""`costmeter balance`: what an account has, in DeepSeek's own shape but exact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import Account, AsJson, KnownAt
from costmeter.cli.output import print_json, print_note, print_table
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.periods import format_instant, parse_instant, parse_known_at
from costmeter.store import accounts
from costmeter.store.balances import balance_at
from costmeter.store.known import count_unposted
from costmeter.store.tables import EventRow


def balance(
    account: Account = DEFAULT_ACCOUNT,
    at: Annotated[
        str | None, typer.Option(help="As of this RFC 3339 instant; default: that of --known-at, or now.")
    ] = None,
    known_at: KnownAt = None,
    as_json: AsJson = False,
) -> None:
    """What an account has; overdraft makes the topped-up balance negative.

    --at asks what it had, as all that is known now tells; --known-at T what this command said at T; both together
    what could be told at one instant of another.
    """
    now = datetime.now(UTC)
    known = None if known_at is None else parse_known_at(known_at, now)
    instant = parse_instant(at, "at") if at is not None else known or now
    with snapshot() as connection:
        found = accounts.get(connection, account, known)
        shown = balance_at(connection, found, instant, known).as_dict()
        unposted = count_unposted(connection, known, EventRow.account == found.account)
    if as_json:
        print_json(shown)
    else:
        rows = [list(info.values()) for info in shown["balance_infos"]]
        columns = {"currency": "left", "total": "amount", "granted": "amount", "topped up": "amount"}
        available = "available" if shown["is_available"] else "not available"
        as_known = "" if known is None else f", as known at {format_instant(known)}"
        print_table(columns, rows, title=f"{account} at {format_instant(instant)}{as_known}: {available}")
    if unposted:
        when = "are not posted yet" if known is None else "were not posted then"
        print_note(f"costmeter: {unposted} calls {when} and not in this balance")
    note_frozen([found])
