"""`costmeter lessons`: the same as a table, JSON and CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.cli.running import Run, write
from tests.make import MILLION, an_event, usage

NOON, NIGHT = "2025-03-03T12:00:00Z", "2025-03-03T17:00:00Z"
CALLS = (
    an_event("f", "2025-02-10T12:00:00Z", project="chat"),
    an_event("a", NOON, hit=3 * MILLION, miss=MILLION, project="search"),
    an_event("b", NIGHT, project="search"),
    an_event("c", NOON, model="deepseek-reasoner")
    | {"usage": usage(0, 0, MILLION, completion_tokens_details={"reasoning_tokens": 250_000})},
)


@pytest.fixture
def books(run: Run, database: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", *CALLS))


def test_as_json_amounts_are_exact_and_shares_are_percentages(run: Run, books: None) -> None:
    shape = run("lessons", "2025-03", "--json").json
    assert (shape["account"], shape["month"], shape["month_before"], shape["currency"]) == (
        "default", "2025-03", "2025-02", "USD",
    )  # fmt: skip
    assert [(row["project"], row["model"], row["cost"], row["off_peak_missed"]) for row in shape["rows"]] == [
        (None, "deepseek-reasoner", "2.19", "1.64"), ("search", "deepseek-chat", "2.13", "0.79"),
    ]  # fmt: skip
    assert shape["totals"]["cache_hit_percent"] == "75.00"
    assert [one["name"] for one in shape["movers"]["project"]] == [None, "search", "chat"]
    assert run("lessons", "2025-03", "--format", "json").json == shape


def test_as_csv_it_has_the_rows_of_the_json(run: Run, books: None) -> None:
    rows = run("lessons", "2025-03", "--json").json["rows"]
    printed = run("lessons", "2025-03", "--format", "csv").done
    read = list(csv.DictReader(io.StringIO(printed, newline="")))
    assert read == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    assert list(read[0])[:4] == ["project", "model", "calls", "unpriced"]


def test_as_a_table_it_says_what_moved_as_well(run: Run, books: None) -> None:
    lines = run("lessons", "2025-03").done.splitlines()
    assert lines[0] == "What 2025-03 teaches of account default, in USD"
    headings = lines[2].split()
    assert headings[:4] == ["project", "model", "calls", "cost"]
    assert "off-peak missed" in lines[2]
    (total,) = [line for line in lines if line.split()[:1] == ["total"]]
    assert total.split() == ["total", "3", "4.32", "75.00", "%", "0.60", "0.55", "2.43", "8.33", "%"]
    start = lines.index("moved most, by project")
    moved = [line.split() for line in lines[start + 4 : start + 7]]
    assert moved == [
        ["(none)", "0.00", "2.19", "2.19", "-", "new"],
        ["search", "0.00", "2.13", "2.13", "-", "new"],
        ["chat", "1.10", "0.00", "-1.10", "-100.00", "%", "gone"],
    ]
    assert "moved most, by model" in lines


def test_what_cannot_be_asked_is_one_line(run: Run, books: None) -> None:
    assert run("lessons", "March").refused == "month 'March': write a month as YYYY-MM"
    assert "nobody" in run("lessons", "2025-03", "--account", "nobody").refused
    assert "no rows" not in run("lessons", "2026-01").done
