"""`costmeter budget` and `costmeter alerts list`: added, listed with what is spent, removed; and what was raised."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.running import Run, words, write
from tests.make import an_event

SEARCH = words("budget add search --per month --amount 10.00 --where project=search --at 50% --at 100%")


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def spent(run: Run, database: str, tmp_path: Path) -> None:
    """A budget, and six calls of its project and two of another."""
    assert run(*SEARCH).done == "added budget search of 10.00 USD per month for account default\n"
    calls = [an_event(f"{n}", today(), project="search", model="deepseek-v4-pro") for n in range(6)]
    assert run("record", write(tmp_path / "calls.ndjson", *calls)).code == 0


def test_its_state_is_listed(run: Run, spent: None) -> None:
    (state,) = run("budget", "list", "--json").json
    cost = state["spent"]
    assert (state["budget"], state["filters"], state["unit"]) == ("search", {"project": "search"}, "USD")
    assert (state["thresholds"], state["stops"], state["reserved"]) == (["50%", "100%"], False, "0.00")
    report = run("report", "--month", today()[:7], "--json").json
    assert report["totals"]["cost"] == cost != "0.00"
    shown = run("budget", "list").done
    assert "project=search" in shown
    assert cost in shown


def test_what_was_raised_is_listed(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("budget add all --per day --amount 0.01"))
    run("record", write(tmp_path / "calls.ndjson", an_event("a", today(), model="deepseek-v4-pro")))
    found = run("alerts", "list", "--json").json
    assert [one["threshold"] for one in found] == ["100%", "80%"]
    assert {(one["kind"], one["rule"], one["recovered_at"]) for one in found} == {("budget", "budget 1", None)}
    assert "budget all" in run("alerts", "list", "--account", "default").done
    assert run("alerts", "list", "--account", "other", "--json").json == []


def test_it_is_shown_as_it_burns(run: Run, spent: None) -> None:
    report = run("budget", "show", "search", "--json").json
    (state,) = run("budget", "list", "--json").json
    assert {name: report[name] for name in state} == state
    shown = run("budget", "show", "search").done
    assert f"spent {state['spent']} of 10.00 USD" in shown
    assert "no forecast: nothing was spent in the 57 days before today" in shown
    assert f"{today()[:10]}" in shown
    assert run("budget", "show", "other").refused.startswith("account 'default' has no budget 'other'")


def test_it_is_changed(run: Run, spent: None) -> None:
    (before,) = run("budget", "list", "--json").json
    changed = [*words("budget change search --per month --amount 20.00 --where project=search --at 50%")]
    assert run(*changed).done == "budget search of account default changed: it is now 20.00 USD per month\n"
    assert run(*changed).done == "budget search of account default as it was: 20.00 USD per month\n"
    assert run(*changed, "--json").json["changed"] is False
    (after,) = run("budget", "list", "--json").json
    assert (after["spent"], after["amount"], after["thresholds"]) == (before["spent"], "20.00", ["50%"])
    assert run(*words("budget change other --per month --amount 1")).refused.startswith("account 'default' has no")


def test_alerts_of_a_kind_and_those_that_stand(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("budget add all --per day --amount 0.01 --at 50%"))
    run("record", write(tmp_path / "calls.ndjson", an_event("a", today(), model="deepseek-v4-pro")))
    (found,) = run(*words("alerts list --kind budget --standing --json")).json
    assert found["title"].startswith("Budget all: ")
    assert run(*words("alerts list --kind unpriced --json")).json == []
    assert run(*words("alerts list --kind moon")).refused.startswith("kind 'moon': use one of budget, forecast,")


def test_added_again_it_is_kept_and_another_is_refused(run: Run, database: str) -> None:
    assert run(*SEARCH, "--json").json["created"] is True
    assert run(*SEARCH, "--json").json["created"] is False
    assert run(*SEARCH, "--stops").refused == (
        "budget 'search': is another budget already; nothing was changed. Remove it first, or choose another name"
    )


def test_tokens_and_forecasts_and_a_window_of_its_own(run: Run, database: str) -> None:
    added = run(
        *words("budget add burst --per 5h --tokens 1000000 --at 900000 --forecast 120% --stops --channel ops"),
        *words("--timezone Asia/Shanghai --from 2026-01-01T00:00:00+08:00 --to 2030-01-01T00:00:00Z --json"),
    ).json
    assert added | {"created_at": "", "created_by": ""} == {
        "account": "default", "budget": "burst", "filters": {}, "per": "5h", "timezone": "Asia/Shanghai",
        "unit": "tokens", "amount": "1000000", "thresholds": ["900000", "forecast 120%"], "stops": True,
        "starts_at": "2025-12-31T16:00:00Z", "ends_at": "2030-01-01T00:00:00Z", "channels": ["ops"],
        "created_at": "", "created_by": "", "created": True,
    }  # fmt: skip


def test_removed_it_is_gone_and_its_alerts_stay(run: Run, spent: None) -> None:
    alerts = run("alerts", "list", "--json").json
    assert run("budget", "remove", "search").done == "removed budget search of 10.00 USD per month\n"
    assert run("budget", "list", "--json").json == []
    assert run("alerts", "list", "--json").json == alerts
    assert run("budget", "remove", "search").refused.startswith("account 'default' has no budget 'search'")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--per month", "amount: give either an amount or tokens"),
        ("--per moon --amount 1", "per 'moon': use one of day, week, month, quarter, year, all, or such as 14d"),
        ("--per day --amount 1 --where colour=red", "where 'colour=red': write KEY=VALUE with a key of project,"),
        ("--per day --amount 1 --at 0%", "threshold '0%': is crossed before the first call; write more than 0%"),
        ("--per day --amount 1 --from 2026-01-01T00:01:00Z", "from '2026-01-01T00:01:00Z': write a quarter hour"),
        ("--per day --amount 1 --timezone Mars", "timezone 'Mars': is no IANA time zone"),
        ("--per day --tokens 1.5", "tokens '1.5': write a whole number of tokens"),
    ],
)
def test_what_is_wrong_is_named(run: Run, database: str, options: str, said: str) -> None:
    assert run("budget", "add", "x", *words(options)).refused.startswith(said)
