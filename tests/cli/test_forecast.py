"""`costmeter forecast`: what the month will come to and how long the balance lasts, now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costmeter.core.money import parse_total
from costmeter.core.periods import format_instant
from tests.cli.running import Run, write
from tests.make import MILLION, an_event


def recently(days: int) -> list[dict[str, object]]:
    """A call a day of the last days, the newest some minutes ago."""
    newest = datetime.now(UTC) - timedelta(minutes=10)
    return [
        an_event(
            f"c-{number}", format_instant(newest - timedelta(days=number)), model="deepseek-flash", project="search"
        )
        for number in range(days)
    ]


@pytest.fixture
def books(run: Run, database: str, tmp_path: Path) -> None:
    run("credit", "add", "--kind", "topped_up", "--amount", "1000.00", "--effective-at", "2026-01-01T00:00:00Z")
    run("record", write(tmp_path / "calls.ndjson", *recently(40)))


def test_as_json_it_tells_month_range_and_runway(run: Run, books: None) -> None:
    shape = run("forecast", "--json").json
    month = shape["month"]
    assert shape["spent"] == run("report", "--month", month, "--json").json["totals"]["cost"]
    told = {name: parse_total(shape["forecast"][name]) for name in ("low", "amount", "high")}
    assert parse_total(shape["spent"]) <= told["low"] <= told["amount"] <= told["high"]
    assert shape["forecast"]["basis"]["days"] in (38, 39)  # over midnight one more
    assert shape["runway"]["granted"]["days"] == 0
    assert shape["runway"]["total"] == {
        "balance": shape["runway"]["topped_up"]["balance"],
        "days": 366,
        "runs_out_on": None,
    }


def test_as_a_table_it_says_the_same_in_words(run: Run, books: None) -> None:
    shape, printed = run("forecast", "--json").json, run("forecast").done
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert lines[0].startswith(f"{shape['month']} of account default, in USD, as of ")
    assert f"spent so far {shape['spent']}" in lines
    assert any(line.startswith(f"forecast {shape['forecast']['amount']} from ") for line in lines)
    assert any(line.startswith("high ") and line.endswith("the range holds in 80 of 100 months") for line in lines)
    assert any(line.startswith("topped up ") and line.endswith("more than 366 days") for line in lines)


def test_of_tokens_and_of_some_calls_there_is_no_runway(run: Run, books: None) -> None:
    shape = run("forecast", "--unit", "tokens", "--where", "project=search", "--json").json
    assert shape["spent"] % MILLION == 0
    assert (shape["unit"], shape["where"], shape["runway"]) == ("tokens", {"project": "search"}, None)
    assert "project=search, in tokens" in run("forecast", "--unit", "tokens", "--where", "project=search").done


def test_what_cannot_be_told_is_said(run: Run, database: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", *recently(1)))
    printed = run("forecast").done
    assert "no forecast: " in printed
    assert "no runway: no credit was ever added: the balance is not tracked" in printed
    assert run("forecast", "--month", "2999-01").refused.startswith("month '2999-01': has not begun")
    assert "nobody" in run("forecast", "-a", "nobody").refused
