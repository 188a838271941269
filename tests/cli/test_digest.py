"""`costmeter digest`: the last day, week or month that is over, now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costmeter.core.periods import format_instant
from tests.cli.running import Run, write
from tests.make import an_event


@pytest.fixture
def books(run: Run, database: str, tmp_path: Path) -> None:
    """A call a day until yesterday noon, of more projects than are told by name."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    calls = [
        an_event(
            f"c{day}-{project}", format_instant(noon - timedelta(days=day)), model="deepseek-flash", project=project
        )
        for day in range(1, 40)
        for project in ("a", "b", "c", "d", "e", "f")
    ]
    run("record", write(tmp_path / "calls.ndjson", *calls))


def test_as_json_it_has_what_the_report_of_that_time_has(run: Run, books: None) -> None:
    for kind in ("daily", "weekly", "monthly"):
        shape = run("digest", kind, "--json").json
        asked = ("--month", shape["name"]) if kind == "monthly" else ("--from", shape["from"], "--to", shape["to"])
        totals = run("report", *asked, "--json").json["totals"]
        assert {name: shape["spend"][name] for name in ("calls", "cost", "cache_savings", "off_peak_savings")} == {
            name: totals[name] for name in ("calls", "cost", "cache_savings", "off_peak_savings")
        }
        assert shape["doubts"] == {name: totals[name] for name in shape["doubts"]}
        assert (shape["digest"], shape["account"], shape["by_project"]["others"]["count"]) == (kind, "default", 1)


def test_as_a_table_it_says_the_same_in_words(run: Run, books: None) -> None:
    shape = run("digest", "daily", "--json").json
    lines = [" ".join(line.split()) for line in run("digest", "daily").done.splitlines()]
    assert lines[0] == f"The daily digest of {shape['name']}, account default, in USD"
    spend = shape["spend"]
    said = f"6 calls cost {spend['cost']}; {spend['before']} the time before (change {spend['change']}, "
    assert lines[2].startswith(said)
    assert f"1 others {shape['by_project']['others']['cost']}" in lines
    assert any(line.startswith("spent so far ") for line in lines)


def test_what_cannot_be_asked_is_one_line(run: Run, books: None) -> None:
    assert run("digest", "hourly").refused == "kind 'hourly': use one of daily, weekly, monthly"
    assert run("digest", "daily", "--currency", "EUR").refused == "currency 'EUR': use one of USD, CNY"
    run("account", "add", "china", "--currency", "CNY")
    assert "never summed" in run("digest", "daily").refused
    assert "nobody" in run("digest", "daily", "-a", "nobody").refused
