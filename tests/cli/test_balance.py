"""`costmeter balance`: DeepSeek's own shape, but exact, at any instant."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.periods import format_instant
from tests.cli.running import Run, words, write
from tests.make import an_event, record

MARCH_1, APRIL_1 = "2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z"
INFO = ("currency", "total_balance", "granted_balance", "topped_up_balance")


def shown(run: Run, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = run("balance", *options, "--json").json
    return found


def amounts(run: Run, *options: str) -> list[str]:
    return [shown(run, *options)["balance_infos"][0][name] for name in INFO[1:]]


@pytest.fixture
def spent(run: Run, database: str, tmp_path: Path) -> None:
    """A grant of 1.00 for March, and a call that cost 1.10."""
    run(*words(f"credit add --kind granted --amount 1.00 --effective-at {MARCH_1} --expires-at {APRIL_1}"))
    run("record", write(tmp_path / "calls.ndjson", an_event("a", completed_at="2025-03-03T12:00:00Z", output=500_000)))


def test_it_has_deepseeks_shape_and_exact_strings(run: Run, database: str) -> None:
    run(*words("credit add --kind granted --amount 0.000000000001 --currency CNY"))
    run(*words("credit add --kind topped_up --amount 110.50"))

    assert run("balance", "--json").json == {
        "is_available": True,
        "balance_infos": [
            {
                "currency": "CNY",
                "total_balance": "110.500000000001",
                "granted_balance": "0.000000000001",
                "topped_up_balance": "110.50",
            }
        ],
    }
    assert tuple(shown(run)["balance_infos"][0]) == INFO


def test_it_is_what_it_was_at_any_instant(run: Run, spent: None) -> None:
    assert amounts(run, "--at", "2025-02-28T23:59:59.999999Z") == ["0.00", "0.00", "0.00"]
    assert amounts(run, "--at", MARCH_1) == ["1.00", "1.00", "0.00"]
    assert amounts(run, "--at", "2025-03-03T11:59:59.999999Z") == ["1.00", "1.00", "0.00"]
    assert amounts(run, "--at", "2025-03-03T12:00:00Z") == ["0.45", "0.45", "0.00"]
    assert amounts(run, "--at", "2025-04-01T07:59:59.999999+08:00") == ["0.45", "0.45", "0.00"]
    assert amounts(run, "--at", APRIL_1) == ["0.00", "0.00", "0.00"]
    assert amounts(run) == ["0.00", "0.00", "0.00"]


def test_overdraft_makes_the_topped_up_balance_negative(run: Run, database: str, tmp_path: Path) -> None:
    run(*words(f"credit add --kind granted --amount 1.00 --effective-at {MARCH_1}"))
    run("record", write(tmp_path / "calls.ndjson", an_event()))

    assert amounts(run) == ["-0.10", "0.00", "-0.10"]
    assert shown(run)["is_available"] is False
    assert run("balance").done.startswith("default at ")
    assert run("balance", "--at", "2025-03-03T12:00:00Z").done.splitlines()[0] == (
        "default at 2025-03-03T12:00:00Z: not available"
    )


def test_the_table_has_the_same_amounts(run: Run, spent: None) -> None:
    lines = run("balance", "--at", "2025-03-03T12:00:00Z").done.splitlines()

    assert lines[0] == "default at 2025-03-03T12:00:00Z: available"
    assert lines[2].split() == ["currency", "total", "granted", "topped", "up"]
    assert lines[4].split() == ["USD", "0.45", "0.45", "0.00"]


def test_calls_that_are_not_posted_yet_are_told(run: Run, database: str, engine: Engine) -> None:
    record(engine, an_event())

    ran = run("balance", "--json")
    assert (ran.code, ran.err) == (0, "costmeter: 1 calls are not posted yet and not in this balance\n")


def test_another_account_and_a_wrong_instant_are_refused(run: Run, sqlite: str) -> None:
    says = "no account 'nobody'; it is made at its first call or credit, or by: costmeter account add"
    assert run("balance", "--account", "nobody").refused == says
    assert run("balance").refused.startswith("no account 'default'; ")
    assert run("balance", "--at", "yesterday").refused == (
        "at 'yesterday': write an RFC 3339 instant such as 2025-03-01T16:30:00Z"
    )
    assert run("balance", "--at", "").refused.startswith("at '': write an RFC 3339 instant")


def test_it_can_be_told_as_it_was_known(run: Run, spent: None) -> None:
    ran = run("balance", "--known-at", "2025-03-03T12:00:00Z")
    assert ran.refused.startswith("no account 'default' was known at 2025-03-03T12:00:00Z; it was made at 20")
    known = format_instant(datetime.now(UTC))
    assert amounts(run, "--at", "2025-03-03T12:00:00Z", "--known-at", known) == ["0.45", "0.45", "0.00"]
    title = run("balance", "--known-at", known).done.splitlines()[0]
    assert title == f"default at {known}, as known at {known}: not available"
    assert run("balance", "--known-at", "2999-01-01T00:00:00Z").refused.startswith(
        "known_at '2999-01-01T00:00:00Z': is ahead of now, "
    )
