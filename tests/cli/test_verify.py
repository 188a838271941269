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
    assert run("verify").done.splitlines() == [*kept, "2 charges checked that were new"]
    assert run("verify").done.splitlines() == [*kept, "0 charges checked that were new"]
    assert run("verify", "--json").json == {"charges": 0, "findings": [], "frozen": []}
    assert run("verify", "--full", "--json").json == {"charges": 2, "findings": [], "frozen": []}
    assert run("verify", "--full", "--account", "team").done.splitlines() == [*kept, "1 charges checked"]


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
    assert json.loads(ran.out)["frozen"] == ["default"]
    assert run("verify", "--account", "team").code == 0


def test_a_frozen_account_is_an_exit_of_1_until_it_is_released(run: Run, recorded: None, engine: Engine) -> None:
    """Also where it was put right meanwhile: nothing is posted to it all the same."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE credit_balance SET remaining = remaining + 5"))
    assert run("verify").code == 1
    with engine.begin() as connection:
        connection.execute(text("UPDATE credit_balance SET remaining = remaining - 5"))

    ran = run("verify")
    assert ran.code == 1
    assert "BROKEN" not in ran.out
    assert ran.err.startswith("costmeter: account default is frozen since ")
    run("account", "release", "default", "--by", "Ada", "--reason", "put right")
    assert run("verify").code == 0


def test_an_account_that_is_not_there_is_refused(run: Run, sqlite: str) -> None:
    assert run("verify", "--account", "nobody").refused.startswith("no account 'nobody'; ")
