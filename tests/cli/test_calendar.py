"""`costmeter daily`, `weekly` and `monthly`: the same sums as the report's, in tables that fit their terminals."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.running import Run, write
from tests.make import an_event

SPAN = ("--since", "2026-09-28", "--until", "2026-10-11")


@pytest.fixture
def books(run: Run, database: str, tmp_path: Path) -> str:
    """Calls of two models over a turn of the month; one in the last hour of a day that is the next one in Shanghai."""
    calls = [
        an_event(f"{model}-{day}", f"2026-{day}T03:00:00Z", model=model)
        for day in ("09-28", "09-30", "10-01", "10-05", "10-11")
        for model in ("deepseek-flash", "deepseek-v4-pro")
    ]
    late = an_event("late", "2026-10-05T23:30:00Z", model="deepseek-flash")
    unknown = an_event("unknown", "2026-10-06T03:00:00Z", model="deepseek-nobody")
    run("record", write(tmp_path / "calls.ndjson", *calls, late, unknown))
    return database


@pytest.mark.parametrize("kind", ["daily", "weekly", "monthly"])
def test_its_sums_are_the_reports(run: Run, books: str, kind: str) -> None:
    shape = run(kind, *SPAN, "--json").json
    report = run("report", "--from", shape["from"], "--to", shape["to"], "--by", "model", "--json").json
    assert (shape["from"], shape["to"]) == ("2026-09-28T00:00:00Z", "2026-10-12T00:00:00Z")
    names = ("calls", "cost", "cache_hit_tokens", "output_tokens", "off_peak_savings", "unpriced")
    assert {name: shape["totals"][name] for name in names} == {name: report["totals"][name] for name in names}
    assert sum(Decimal(row["cost"]) for row in shape["rows"]) == Decimal(report["totals"]["cost"])
    for row in shape["rows"]:
        assert sum(Decimal(model["cost"]) for model in row["models"]) == Decimal(row["cost"])
        assert sum(model["calls"] for model in row["models"]) == row["calls"]


def test_days_weeks_and_months_have_their_names(run: Run, books: str) -> None:
    def names(*arguments: str) -> list[str]:
        return [row["name"] for row in run(*arguments, *SPAN, "--json").json["rows"]]

    assert names("daily") == ["2026-09-28", "2026-09-30", "2026-10-01", "2026-10-05", "2026-10-06", "2026-10-11"]
    assert names("weekly") == ["2026-W40", "2026-W41"]
    assert names("monthly") == ["2026-09", "2026-10"]
    assert run("weekly", "--since", "20260928", "--until", "20261004", "--json").json["totals"]["calls"] == 6


def test_days_are_those_of_the_time_zone(run: Run, books: str) -> None:
    def calls(*more: str) -> int:
        rows = run("daily", "--since", "2026-10-06", "--until", "2026-10-06", *more, "--json").json["rows"]
        return sum(row["calls"] for row in rows)

    assert (calls(), calls("--timezone", "Asia/Shanghai")) == (1, 2)


def test_without_days_it_tells_of_the_last_ones(run: Run, books: str) -> None:
    shape = run("daily", "--json").json
    assert shape["rows"] == [] or shape["rows"][0]["name"] >= "2026-09-28"
    assert run("daily", "--until", "2026-10-11", "--json").json["from"] == "2026-09-12T00:00:00Z"
    assert run("weekly", "--until", "2026-10-11", "--json").json["from"] == "2026-07-20T00:00:00Z"
    assert run("monthly", "--until", "2026-10-11", "--json").json["from"] == "2025-11-01T00:00:00Z"


def test_what_is_no_terminal_gets_all_of_the_table_and_no_colours(run: Run, books: str) -> None:
    lines = run("daily", *SPAN, "--breakdown").done.splitlines()
    assert lines[0] == "Spend in USD, daily, 2026-09-28T00:00Z to 2026-10-12T00:00Z, days of UTC"
    headings = next(line.split() for line in lines if "models" in line)
    assert headings == ["day", "models", "calls", "cache", "hit", "cache", "miss", "output", "tokens", "cost"]
    assert any(line.split()[:2] == ["└", "deepseek-v4-pro"] for line in lines)
    assert any(line.split()[:1] == ["2026-10-06"] and line.split()[-1] == "unpriced" for line in lines)
    assert lines[-1].endswith("1 call unpriced: counted, cost unknown and not in the sum")
    assert "\x1b" not in "".join(lines)


def test_a_filter_and_an_empty_time(run: Run, books: str) -> None:
    assert run("daily", *SPAN, "--where", "model=deepseek-v4-pro", "--json").json["totals"]["calls"] == 5
    assert run("daily", "--since", "2020-01-01", "--until", "2020-01-02").done.splitlines()[1] == "no calls"


def test_what_cannot_be_asked_is_one_line(run: Run, books: str) -> None:
    assert run("daily", "--since", "yesterday").refused == "since 'yesterday': write a day as YYYY-MM-DD or YYYYMMDD"
    refused = run("daily", "--since", "2026-10-02", "--until", "2026-10-01").refused
    assert refused == "since '2026-10-02': is after the last day, 2026-10-01"
    assert "Nowhere" in run("daily", "--timezone", "Nowhere").refused


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120, 200])
def test_a_terminal_gets_a_table_that_fits_it(books: str, columns: int) -> None:
    shown = on_terminal(columns, "daily", *SPAN, "--breakdown")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    table = plain[plain.index("day ") - 2 :].split("costs rounded")[0]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= columns
    assert "2026-10-11" in table
    assert "total" in table
    assert shown != plain  # in colours
    assert "…" not in table
    for heading, least in {"models": 60, "cache hit": 120}.items():
        assert (heading in table) == (columns >= least)


def on_terminal(columns: int, *arguments: str) -> str:
    """What a command prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    command = [sys.executable, "-m", "costmeter", *arguments]
    with subprocess.Popen(command, stdout=theirs, env={**environment, "TERM": "xterm-256color"}) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # how Linux says that nobody writes any more
            pass
        assert process.wait() == 0
    os.close(ours)
    return shown.decode()
