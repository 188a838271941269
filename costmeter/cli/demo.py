"""`costmeter demo`: a day of calls by the real OpenAI SDK against the simulator, recorded, deducted and reported."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.output import print_line, print_table
from costmeter.cli.report import print_report
from costmeter.cli.serve import check_installed, check_local, run_server
from costmeter.core.errors import InputError, SetupError
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.ledger import GRANTED, TOPPED_UP
from costmeter.core.money import format_amount, parse_amount
from costmeter.core.periods import format_instant
from costmeter.exports.charges import CHARGES
from costmeter.exports.file import write_export
from costmeter.exports.format import Format
from costmeter.recorder.attribution import attribute
from costmeter.recorder.client import wrap
from costmeter.recorder.spool import Spool
from costmeter.reports.spend import spend_report
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.capture import capture
from costmeter.services.verify import PROMISES, verify
from costmeter.store import accounts, credits
from costmeter.store.balances import Balance, balance_at
from costmeter.store.engine import reading
from costmeter.store.scope import Scope

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI
    from sqlalchemy import Engine

    from costmeter.simulator import Simulator, SimulatorClock

DAY = datetime(2025, 3, 10, tzinfo=UTC)  # a Monday: off-peak until 00:30 and from 16:30 UTC
MONTH = "2025-03"
DATABASE, CHARGES_FILE = "costmeter.sqlite3", f"charges-{MONTH}.csv"
FILES = (CHARGES_FILE, f"{CHARGES_FILE}.manifest.json")
HOST = "127.0.0.1"
GRANT, TOP_UP = "0.02", "5.00"
PROJECTS = ("search", "support", "research")
USERS = ("u-17", "u-23", "u-42")
SYSTEM = "You are a careful assistant of a small company that sells bicycles. Answer briefly and in plain words. " * 12
QUESTIONS = (
    "Which bicycle is best for a commute of ten kilometres over two hills?",
    "A customer says that the gears slip. What should we ask first?",
    "Write three sentences about the new cargo bicycle.",
    "How much cheaper is a repair than a new wheel, on average?",
    "为什么链条需要定期上油?",
)


@dataclass(frozen=True)
class _Bench:
    """What the day's calls are made with."""

    simulator: Simulator
    clock: SimulatorClock
    engine: Engine
    spool: Spool
    client: OpenAI
    asynchronous: AsyncOpenAI


def demo(
    folder: Annotated[Path, typer.Option(help="Where the database and the CSV go; both are made anew.")] = Path(
        "demo-output"
    ),
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve API and pages of these books afterwards, until stopped.")
    ] = False,
    port: Annotated[int, typer.Option(help="The port of that.", min=0, max=65535)] = 8787,
) -> None:
    """Record a simulated day with the real OpenAI SDK, and print what finance would see. Exit 1 if the books differ."""
    _check_installed()
    if serve:
        check_installed()
        check_local(HOST)
    from costmeter.simulator import Simulator, SimulatorClock

    _clear(folder)
    clock = SimulatorClock(DAY)
    with Simulator(clock, granted=GRANT, topped_up="0") as simulator:
        engine = wiring.open_database(f"sqlite:///{folder / DATABASE}")
        _add(engine, GRANTED, GRANT, clock.now())
        _spend_a_day(simulator, clock, engine)
        theirs = simulator.ledger.balance()
    agree = _print_books(engine, theirs)
    _write_csv(engine, folder / CHARGES_FILE)
    findings = verify(engine)
    print_line(f"verify: promises 1 to {len(PROMISES)} {'kept' if not findings else 'BROKEN'}")
    for finding in findings:
        print_line(f"  promise {finding.promise}: {finding.what}")
    engine.dispose()
    url = f"sqlite:///{folder}/{DATABASE}"
    print_line(f"Look on: COSTMETER_DATABASE_URL={url} {sys.argv[0]} report --month {MONTH} --by hour,band")
    if findings or not agree:
        raise typer.Exit(1)
    if serve:
        address = f"http://{HOST}:{port}"
        print_line(f"Look at it in a browser: {address}/?day={DAY:%Y-%m-%d}")
        print_line(f"Ask it: curl '{address}/v1/reports/spend?month={MONTH}&by=hour,band'   (until Ctrl-C; no key)")
        sys.stdout.flush()
        run_server(wiring.open_service(url, local=True), HOST, port)


def _clear(folder: Path) -> None:
    """Make the folder, without what an earlier demo left there; whatever else is in it stays."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (DATABASE, *(f"{DATABASE}-{part}" for part in ("journal", "wal", "shm")), *FILES):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError("folder", str(folder), f"cannot be used: {error.strerror}") from error


def _spend_a_day(simulator: Simulator, clock: SimulatorClock, engine: Engine) -> None:
    """Calls around the clock, two of them across the edges of the night; the grant runs out in the middle of one."""
    from openai import APIStatusError, AsyncOpenAI, OpenAI

    def deliver(records: list[dict[str, Any]]) -> None:
        capture(engine, records, book=wiring.price_book(), home=wiring.home())

    spool = Spool(deliver)
    settings: Any = {"api_key": "sk-demo-not-a-real-key", "base_url": simulator.base_url, "max_retries": 0}
    with OpenAI(**settings) as plain:
        # This one line is all that a program adds (without the underscored arguments, which set the clock back).
        client = wrap(plain, project=PROJECTS[0], tags={"team": "shop"}, _clock=clock, _spool=spool)
        bench = _Bench(simulator, clock, engine, spool, client, AsyncOpenAI(**settings))
        for at, seconds in _schedule():
            clock.set(at)
            simulator.answer_time = timedelta(seconds=seconds)
            try:
                _call(bench, at)
            except APIStatusError as error:
                print_line(
                    f"{format_instant(at)}  refused with {error.status_code}: the balance is spent; topping up {TOP_UP}"
                )
                _top_up(bench)
        simulator.answer_time = timedelta(0)
        clock.set(DAY + timedelta(days=1))
        asyncio.run(_call_together(bench))
    if not spool.close(60):
        raise SetupError("the recorder could not deliver; see the log above")
    print_line(f"{spool.counts.recorded} calls recorded\n")


def _schedule() -> Iterator[tuple[datetime, float]]:
    """When calls start and how long they take: six an hour, and one over each edge of the off-peak night."""
    for minute in range(0, 24 * 60, 10):
        at = DAY + timedelta(minutes=minute, seconds=3)
        yield at, 2.5
        if minute in (20, 16 * 60 + 20):
            yield at + timedelta(minutes=9, seconds=38.12), 18.88  # completes at 00:30:00 and 16:30:00


def _call(bench: _Bench, at: datetime) -> None:
    """One call of the day: both models, streamed or not, by changing projects and users."""
    chance = random.Random(at.isoformat())
    project, user = chance.choice(PROJECTS), chance.choice(USERS)
    model = chance.choice(("deepseek-chat", "deepseek-chat", "deepseek-reasoner"))
    with attribute(project=project, user=user):
        request: Any = {
            "model": model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": chance.choice(QUESTIONS)}],
            "max_tokens": chance.randrange(100, 600),
        }
        if chance.random() < 0.5:
            bench.client.chat.completions.create(**request)
            return
        with bench.client.chat.completions.create(**request, stream=True) as stream:
            for _ in stream:
                pass


async def _call_together(bench: _Bench) -> None:
    """The same through the asynchronous client, several at once."""
    async with bench.asynchronous as plain:
        client = wrap(plain, project="research", _clock=bench.clock, _spool=bench.spool)
        requests = [
            client.chat.completions.create(
                model="deepseek-reasoner", messages=[{"role": "user", "content": question}], max_tokens=200
            )
            for question in QUESTIONS
        ]
        await asyncio.gather(*requests)


def _top_up(bench: _Bench) -> None:
    """Pay in at DeepSeek and in the books, at one instant."""
    bench.spool.flush(30)
    bench.clock.advance(timedelta(minutes=1))
    bench.simulator.ledger.add_credit(TOPPED_UP, TOP_UP)
    _add(bench.engine, TOPPED_UP, TOP_UP, bench.clock.now())


def _add(engine: Engine, kind: str, amount: str, at: datetime) -> None:
    new = NewCredit(DEFAULT_ACCOUNT, kind, parse_amount(amount), "USD", effective_at=at, reference=f"demo-{kind}")
    add_credit(engine, new, by="demo", home=wiring.home(), now=datetime.now(UTC))


def _print_books(engine: Engine, theirs: Any) -> bool:
    """The report, and our balance beside the simulator's own ledger."""
    with reading(engine) as connection:
        scope = Scope.checked(month=MONTH)
        print_report(spend_report(connection, scope), MONTH)
        print_line()
        by_band = spend_report(connection, scope, by=("band", "model"))
        print_report(by_band, MONTH)
        paid_in = sum(booked.credit.amount for booked in credits.of_account(connection, DEFAULT_ACCOUNT))
        ours = balance_at(connection, accounts.get(connection, DEFAULT_ACCOUNT), datetime.now(UTC))
    agree = (ours.granted, ours.topped_up) == (theirs.granted, theirs.topped_up)
    rows = [_balance_row("costmeter", ours), _balance_row("simulator", theirs)]
    cost = by_band.totals["cost"]
    print_line(
        f"\n{format_amount(paid_in)} USD paid in - {format_amount(cost)} spent = {format_amount(paid_in - cost)}"
    )
    print_line("The overdraft was repaid at once by the top-up.")
    print_line("\nBalance in USD, in our books and in the simulator's own ledger")
    print_table({"": "left", "granted": "amount", "topped up": "amount", "total": "amount"}, rows)
    print_line("The two agree to the last digit." if agree else "THE TWO DIFFER.")
    return agree


def _balance_row(name: str, balance: Balance | Any) -> list[str]:
    return [name, *(format_amount(units) for units in (balance.granted, balance.topped_up, balance.total))]


def _write_csv(engine: Engine, path: Path) -> None:
    with reading(engine) as connection:
        said = write_export(connection, CHARGES, Scope.checked(month=MONTH), path, form=Format.CSV)
    print_line(f"{said['rows']} charges in {path}")


def _check_installed() -> None:
    """What the demo needs besides costmeter itself."""
    from importlib.util import find_spec

    missing = [name for name in ("openai", "httptools", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise SetupError(f"{' and '.join(missing)} not installed: run pip install 'costmeter[openai,simulator]'")
