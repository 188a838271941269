"""From a program that wraps its client to the report of what it cost, through the default spool."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costmeter.core.money import format_amount, parse_amount
from costmeter.simulator import Simulator
from tests.cli.running import Run
from tests.e2e.running import run_program

KEY = "sk-0123456789abcdef0123456789abcdef"
PROGRAM = f"""
import sys
from openai import OpenAI
import costmeter

plain = OpenAI(api_key="{KEY}", base_url=sys.argv[1], max_retries=0)
client = costmeter.wrap(plain, project="search", tags={{"team": "a"}})
question = {{"model": "deepseek-flash", "messages": [{{"role": "user", "content": "a secret question"}}]}}
with costmeter.attribute(user="u-17", tags={{"stage": "test"}}):
    print(client.chat.completions.create(**question).choices[0].message.content)
with client.chat.completions.create(**question, stream=True) as stream:
    print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
if sys.argv[2] == "flush":
    print(costmeter.flush(30))
"""


def around_now() -> list[str]:
    now = datetime.now(UTC)
    return ["--from", (now - timedelta(hours=1)).isoformat(), "--to", (now + timedelta(hours=1)).isoformat()]


def check_books(run: Run, simulator: Simulator, billed_before: int) -> None:
    """Two calls are in the report with who caused them, and the balance is short of what the simulator billed."""
    bills = [paid.bill for paid in simulator.ledger.calls[billed_before:]]
    assert len(bills) == 2
    report = run("report", *around_now(), "--by", "project,user,api_key,tag:team,tag:stage,model", "--json").json
    names = ("project", "user", "tag:team", "tag:stage", "model", "calls")
    assert {tuple(row[name] for name in names) for row in report["rows"]} == {
        ("search", "u-17", "a", "test", "deepseek-flash", 1),
        ("search", None, "a", None, "deepseek-flash", 1),
    }
    assert {row["api_key"][:3] for row in report["rows"]} == {"fp_"}
    totals, billed = report["totals"], sum(bill.cost for bill in bills)
    assert totals["cost"] == totals["topped_up"] == format_amount(billed)
    assert (totals["calls"], totals["unposted"], totals["failed"], totals["unmetered"]) == (2, 0, 0, 0)
    (info,) = run("balance", "--json").json["balance_infos"]
    assert info["total_balance"] == format_amount(parse_amount("5.00") - billed)


def test_a_program_that_flushes_knows_that_its_calls_are_in_the_books(
    run: Run, database_url: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", database_url)
    run("credit", "add", "--kind", "topped_up", "--amount", "5.00")
    billed_before = len(simulator.ledger.calls)

    ran = run_program(PROGRAM, simulator.base_url, "flush", folder=tmp_path, DATABASE_URL=database_url)

    *answers, flushed = ran.done.splitlines()
    assert flushed == "True"
    assert len(answers) == 2
    assert all(answers)
    check_books(run, simulator, billed_before)


def test_a_program_that_just_ends_loses_nothing(
    run: Run, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into the default database, which nobody has made."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    run("credit", "add", "--kind", "topped_up", "--amount", "5.00")
    billed_before = len(simulator.ledger.calls)

    ran = run_program(PROGRAM, simulator.base_url, "end", folder=tmp_path)

    assert len(ran.done.splitlines()) == 2
    check_books(run, simulator, billed_before)
    stored = (tmp_path / "data" / "costmeter" / "costmeter.sqlite3").read_bytes()
    assert KEY.encode() not in stored
    assert b"a secret question" not in stored


def test_a_program_whose_database_is_unreachable_is_not_harmed(simulator: Simulator, tmp_path: Path) -> None:
    nowhere = "postgresql://nobody:hidden@127.0.0.1:1/nothing"

    ran = run_program(PROGRAM, simulator.base_url, "end", folder=tmp_path, DATABASE_URL=nowhere)

    assert ran.code == 0
    assert len(ran.out.splitlines()) == 2
    assert "cannot be delivered yet; they are kept and tried again" in ran.err
    assert ran.err.splitlines()[-1] == "2 calls recorded: 0 delivered, 2 waiting, 0 dropped"
    assert "they wait in " in ran.err
    assert "hidden" not in ran.err
    assert KEY not in ran.err
