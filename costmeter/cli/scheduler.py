"""`costmeter scheduler`: what is done by the clock, and how it went."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from costmeter import wiring
from costmeter.cli.database import database
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line, print_note, print_table
from costmeter.core.errors import SetupError
from costmeter.reports.scheduler import scheduler_report
from costmeter.store.engine import reading
from costmeter.store.runs import DONE

NEEDED = ("apscheduler", "structlog")

app = typer.Typer(help="Run what is done by the clock, and see how it went.", invoke_without_command=True)


@app.callback()
def scheduler(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Run what is due now and end; for cron and timers.")] = False,
) -> None:
    """Post what waits, expire grants, make partitions, verify, check prices: each at its time, until stopped.

    Any number may run on one database: the one that holds the lease works, the others stand by, and one of them goes
    on where it dies. On SIGTERM or Ctrl-C it lets the running job finish; a second one ends it at once. With --once
    exit 1 where a job failed or found what needs a hand.
    """
    if context.invoked_subcommand is not None:
        return
    _check_installed()
    from costmeter import logs

    logs.configure(wiring.settings().log_level)
    with database() as engine:
        if once:
            raise typer.Exit(_run_once(engine))
        wiring.open_scheduler(engine).run(_told_to_stop())


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show who holds the lease and how the newest run of each job went. Exit 1 where no scheduler runs."""
    now = datetime.now(UTC)
    with database() as engine, reading(engine) as connection:
        told = scheduler_report(connection, now)
    if as_json:
        print_json(told)
    else:
        _print(told)
    raise typer.Exit(int(told["lease"] is None))


def _print(told: dict[str, Any]) -> None:
    lease = told["lease"]
    print_line(f"lease: {lease['owner']} until {lease['expires_at']}" if lease else "lease: nobody: no scheduler runs")
    columns = dict.fromkeys(("job", "scheduled for", "finished at", "outcome", "said"), "left")
    print_table(columns, [[run[name.replace(" ", "_")] or "" for name in columns] for run in told["runs"]])
    for run in told["runs"]:
        for line in (run["error"] or "").splitlines():
            print_note(f"{run['job']}: {line}")


def _run_once(engine: Engine) -> int:
    done = wiring.open_scheduler(engine).run_once()
    if done is None:
        print_note("costmeter: another scheduler holds the lease, and runs what is due: costmeter scheduler status")
        return 0
    return int(any(run.outcome != DONE for run in done))


def _told_to_stop() -> threading.Event:
    """Set by the first SIGTERM or Ctrl-C; the next one is not caught."""
    stop = threading.Event()

    def tell(_number: int, _frame: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    return stop


def _check_installed() -> None:
    """These packages are an extra, since only those who run the service need them."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SetupError(f"{', '.join(missing)} not installed: run pip install 'costmeter[server]'")
