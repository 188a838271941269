"""`costmeter alerts`: what was raised, how notices are told, and what became of each."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.database import database, snapshot
from costmeter.cli.options import AnyAccount, AsJson, By, decided_by
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.core.deliveries import STATES
from costmeter.core.errors import InputError
from costmeter.core.secrets import without_secrets
from costmeter.reports.alerts import alert_shape, check_kind, delivery_shape
from costmeter.services.retry_deliveries import read_notice_id, retry_deliveries
from costmeter.services.try_channel import try_channel
from costmeter.store import alerts, notices
from costmeter.store.notices import Listed

app = typer.Typer(help="Alerts: what was raised, telling it, and what became of each notice.")
State = Annotated[str | None, typer.Option(help=f"Only those in this state: {', '.join(STATES)}.")]


@app.command("list")
def list_alerts(
    account: AnyAccount = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as budget or low_balance.")] = None,
    standing: Annotated[bool, typer.Option("--standing", help="Only those that have not recovered.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest alerts, and whether they have recovered since."""
    named = None if account is None else [without_secrets(account)]
    of_kind = None if kind is None else check_kind(kind)
    with snapshot() as connection:
        rows = alerts.listed(connection, named, kind=of_kind, is_standing=standing, limit=limit)
        found = [alert_shape(one) for one in rows]
    if as_json:
        print_json(found)
        return
    columns = dict.fromkeys(("raised", "account", "alert", "threshold", "spent", "of", "recovered"), "left")
    print_table(columns, [_alert(one) for one in found])


def _alert(shape: dict[str, Any]) -> list[str]:
    facts = shape["facts"]
    unit = facts.get("unit", "")
    name = f"budget {facts['budget']}" if "budget" in facts else shape["rule"].replace("_", " ")
    return [
        shape["raised_at"], shape["account"] or "", name, shape["threshold"],
        f"{facts['spent']} {unit}" if "spent" in facts else "", facts.get("amount", ""), shape["recovered_at"] or "",
    ]  # fmt: skip


@app.command("test")
def send_test(
    channel: Annotated[str, typer.Argument(help="The channel, by its name in the file of channels.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Send a test notice through one channel now. Exit 1 where it is not accepted."""
    _show_log()
    with database() as engine:
        found, site = wiring.channels().by_name, wiring.settings().url
        trial = try_channel(engine, found, channel, site=site, by=decided_by(by), now=datetime.now(UTC))
    if as_json:
        accepted = {"accepted": trial.error is None, "error": trial.error}
        print_json({"channel": channel, "notice_id": trial.notice_id, **accepted})
    else:
        said = "accepted" if trial.error is None else f"not accepted: {trial.error}"
        print_line(f"{channel}: {said} (notice {trial.notice_id})")
    raise typer.Exit(int(trial.error is not None))


@app.command()
def send(as_json: AsJson = False) -> None:
    """Tell now what is due: what `serve` and `scheduler` do by themselves. Exit 1 where something was given up."""
    _show_log()
    with database() as engine:
        sent = wiring.outbox(engine).empty()
    if as_json:
        print_json(sent._asdict())
    else:
        print_line(f"accepted {sent.accepted:,}, put off {sent.put_off:,}, given up {sent.given_up:,}")
    raise typer.Exit(int(sent.given_up > 0))


@app.command()
def deliveries(
    state: State = None,
    account: AnyAccount = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what became of the newest notices, channel by channel."""
    if state is not None and state not in STATES:
        raise InputError("state", state, f"use one of {', '.join(STATES)}")
    named = None if account is None else [without_secrets(account)]
    with snapshot() as connection:
        found = notices.listed(connection, state, named, limit=limit)
    if as_json:
        print_json([delivery_shape(one) for one in found])
        return
    columns = dict.fromkeys(("notice", "raised", "title", "channel", "state"), "left")
    columns |= {"attempts": "right", "due": "left", "error": "left"}
    print_table(columns, [_row(one) for one in found])


@app.command()
def retry(
    notice: Annotated[
        str | None, typer.Argument(help="One notice, by its id; without it, all that were given up.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Only what this channel was given up for.")] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Try again what was given up, as if it were new."""
    notice_id = None if notice is None else read_notice_id(notice)
    with database() as engine:
        count = retry_deliveries(engine, notice_id=notice_id, channel=channel, by=decided_by(by), now=datetime.now(UTC))
    if as_json:
        print_json({"deliveries": count})
    else:
        print_line(f"{count:,} deliveries are tried again")


def _row(one: Listed) -> list[str]:
    shape = delivery_shape(one)
    due = "" if one.delivery.ended_at else shape["due_at"]
    names = ("notice_id", "created_at", "title", "channel", "state", "attempts")
    return [*(str(shape[name]) for name in names), str(due), one.delivery.error or ""]


def _show_log() -> None:
    """What the log channel and the sender say goes to standard error, as of any process that costmeter runs."""
    ours = logging.getLogger("costmeter")
    if not ours.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("costmeter: %(levelname)s %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
