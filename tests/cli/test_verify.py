"""`costmeter verify`: says of each promise whether it is kept, and names what breaks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from costmeter.services.verify import PROMISES
from tests.cli.running import Run, words, write
from tests.make import an_event


@pytest.fixture
def recorded(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("credit add --kind granted --amount 1.00 --effective-at 2025-03-01T00:00:00Z"))
    run("record", write(tmp_path / "calls.ndjson", an_event("a"), an_event("b", account="team")))


def test_kept_promises_are_told_one_by_one(run: Run, recorded: None) -> None:
    kept = [f"kept    {number}. {promise}" for number, promise in PROMISES.items()]
    assert run("verify").done.splitlines() == [*kept, "2 charges checked"]
    assert run("verify", "--json").json == {"charges": 2, "findings": []}
    assert run("verify", "--account", "team").done.splitlines() == [*kept, "1 charges checked"]


def test_a_broken_promise_is_an_exit_of_1_with_its_reason(run: Run, recorded: None, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE credit_balance SET remaining = 5"))

    ran = run("verify")
    assert ran.code == 1
    assert ran.out.splitlines()[-2] == f"BROKEN  6. {PROMISES[6]}"
    assert ran.err.startswith("promise 6, account default: credit 1 is kept as CreditBalance(remaining=5, ")
    ran = run("verify", "--json")
    assert ran.code == 1
    (finding,) = json.loads(ran.out)["findings"]
    assert tuple(finding) == ("promise", "account", "what")
    assert run("verify", "--account", "team").code == 0


def test_an_account_that_is_not_there_is_refused(run: Run, sqlite: str) -> None:
    assert run("verify", "--account", "nobody").refused.startswith("no account 'nobody'; ")
