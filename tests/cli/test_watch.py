"""`costmeter watch`: it looks now, prints what stands, and exits with 1 where anything does."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine

from tests.cli.running import Run, words
from tests.services.watching import run as run_a_job


@pytest.fixture(autouse=True)
def _no_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in calendar ends when it ends; these tests are run at any time."""
    monkeypatch.setenv("COSTMETER_WATCH_CALENDAR_DAYS", "0")


def test_where_nothing_stands_it_says_so(run: Run, database: str) -> None:
    assert run("watch").done == "nothing stands; looked at 0 accounts\n"
    assert run("watch", "--json").json == {"accounts": 0, "alerts": []}


def test_what_stands_is_printed_until_it_recovers(run: Run, database: str) -> None:
    run(*words("credit add --kind topped_up --amount 0.50"))
    first = run("watch", "--json")
    found = json.loads(first.out)
    (alert,) = found["alerts"]
    assert (first.code, first.err, found["accounts"]) == (1, "", 1)
    named = [alert[name] for name in ("account", "rule", "period", "threshold", "kind")]
    assert named == ["default", "low_balance", "1", "1.00 USD", "low_balance"]
    assert alert["facts"] == {"currency": "USD", "balance": "0.50", "granted": "0.00", "topped_up": "0.50"}

    again = run("watch")
    assert again.code == 1
    for text in ("default", "low_balance", "1.00 USD", alert["raised_at"], "balance 0.50, currency USD"):
        assert text in again.out

    run(*words("credit add --kind topped_up --amount 5.00"))
    assert run("watch").done == "nothing stands; looked at 1 accounts\n"


def test_the_doctor_mentions_what_stands_of_the_installation(run: Run, database: str, engine: Engine) -> None:
    run(*words("credit add --kind topped_up --amount 0.50"))
    run_a_job(engine, "2025-03-10T12:00:00Z")
    assert "watch:" not in run("doctor").done
    looked = json.loads(run("watch", "--json").out)
    (silent,) = [alert for alert in looked["alerts"] if alert["account"] == ""]
    (line,) = [line for line in run("doctor").done.splitlines() if "watch:" in line]
    assert line == f"note  watch: scheduler (15 minutes) since {silent['raised_at']}; see: costmeter watch"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LOW_BALANCE", "cheap", 'write amounts above 0 such as "1.00 USD, 10.00 CNY", or 0 for none'),
        ("GRANT_DAYS", "a week", 'write days such as "7, 1", or 0 for none'),
    ],
)
def test_a_threshold_that_is_none_is_refused_by_name(
    run: Run, sqlite: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"COSTMETER_WATCH_{name}", value)
    assert run("watch").refused == f"COSTMETER_WATCH_{name} {value!r}: {says}"


def test_zero_turns_rules_off(run: Run, sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*words("credit add --kind topped_up --amount 0.50"))
    monkeypatch.setenv("COSTMETER_WATCH_LOW_BALANCE", "0")
    assert run("watch").code == 0
