"""`costmeter report`: exact sums by any dimension, as a table, JSON or CSV; what is in doubt stands beside them."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Run, words, write
from tests.make import MILLION, an_event, an_unmetered

MEASURES = (
    "calls", "cost", "granted", "topped_up", "overdraft", "untracked", "cache_hit_tokens", "cache_miss_tokens",
    "output_tokens", "reasoning_tokens", "cache_savings", "off_peak_savings",
)  # fmt: skip
DOUBTS = ("failed", "unmetered", "unpriced", "provisional", "quarantined", "unposted")
CLOCK_DOUBTS = ("clock_doubts", "clock_doubt_amount")
AMOUNTS = ("cost", "granted", "topped_up", "overdraft", "untracked", "cache_savings", "off_peak_savings")
NOON, NIGHT = "2025-03-03T12:00:00Z", "2025-03-03T17:00:00Z"  # standard; off-peak, and the next day in Shanghai
ALL_TOKENS = {"hit": MILLION, "miss": MILLION, "output": MILLION}  # 0.07 + 0.27 + 1.10 at noon, half of it at night
CALLS = (
    an_event("a", NOON, project="search", user="u1", tags={"team": "x"}, **ALL_TOKENS),
    an_event("b", NIGHT, project="search", user="u2", tags={"team": "y"}, **ALL_TOKENS),
    an_event("c", NOON, project="support", api_key="backend", model="deepseek-reasoner"),
    an_event("d", NOON, account="team"),
    an_event("e", NOON, project="search", model="no-such-model", output=5),
    an_unmetered("f", NOON, project="search"),
    an_unmetered("g", NOON) | {"status": "failed", "http_status": 402},
    an_event("h", "2025-03-04T12:00:00Z", model=None),
)
MARCH = ("report", "--month", "2025-03")
BY: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("account", [("default", 4, "4.35"), ("team", 1, "1.10")]),
    ("user", [("u1", 1, "1.44"), ("u2", 1, "0.72"), (None, 3, "3.29")]),
    ("api_key", [("backend", 1, "2.19"), (None, 4, "3.26")]),
    ("model", [("deepseek-chat", 3, "3.26"), ("deepseek-reasoner", 1, "2.19"), ("no-such-model", 1, "0.00")]),
    ("band", [("off_peak", 1, "0.72"), ("standard", 3, "4.73"), (None, 1, "0.00")]),
    ("day", [("2025-03-03", 5, "5.45")]),
    ("hour", [("2025-03-03T12:00:00Z", 4, "4.73"), ("2025-03-03T17:00:00Z", 1, "0.72")]),
    ("tag:team", [("x", 1, "1.44"), ("y", 1, "0.72"), (None, 3, "3.29")]),
    ("tag:nowhere", [(None, 5, "5.45")]),
]
WHERE = [
    (["project=search"], "2.16"),
    (["project=search", "band=off_peak"], "0.72"),
    (["model=deepseek-reasoner"], "2.19"),
    (["user=u1"], "1.44"),
    (["api_key=backend"], "2.19"),
    (["account=team"], "1.10"),
    (["tag:team=y"], "0.72"),
    (["project=nothing"], "0.00"),
    (["project='; DROP TABLE charge; --"], "0.00"),
    (["tag:o'brien=x"], "0.00"),
]


@pytest.fixture
def recorded(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("credit add --kind granted --amount 1.00 --effective-at 2025-03-01T00:00:00Z"))
    assert run("record", write(tmp_path / "calls.ndjson", *CALLS)).code == 1


def test_the_json_is_that_of_the_contract(run: Run, recorded: None) -> None:
    report = run(*MARCH, "--json").json

    assert tuple(report) == ("from", "to", "timezone", "currency", "by", "rows", "totals")
    assert [report[name] for name in ("from", "to", "timezone", "currency", "by")] == [
        "2025-03-01T00:00:00Z",
        "2025-04-01T00:00:00Z",
        "UTC",
        "USD",
        ["project", "model"],
    ]
    assert {tuple(row) for row in report["rows"]} == {("project", "model", *MEASURES)}
    assert tuple(report["totals"]) == (*MEASURES, *DOUBTS, *CLOCK_DOUBTS)
    for row in [*report["rows"], report["totals"]]:
        amounts = {*AMOUNTS, "clock_doubt_amount"} & row.keys()
        assert all(isinstance(row[name], str) for name in amounts)
        assert all(type(row[name]) is int for name in row.keys() - {*amounts, "project", "model"})
    assert run(*MARCH, "--format", "json").json == report


def test_the_sums_are_exact_and_what_is_in_doubt_is_counted(run: Run, recorded: None) -> None:
    totals = run(*MARCH, "--json").json["totals"]

    assert totals == {
        "calls": 5,
        "cost": "5.45",
        "granted": "1.00",
        "topped_up": "0.00",
        "overdraft": "3.35",
        "untracked": "1.10",
        "cache_hit_tokens": 2 * MILLION,
        "cache_miss_tokens": 2 * MILLION,
        "output_tokens": 4 * MILLION + 5,
        "reasoning_tokens": 0,
        "cache_savings": "0.30",
        "off_peak_savings": "0.72",
        "failed": 1,
        "unmetered": 1,
        "unpriced": 1,
        "provisional": 0,
        "quarantined": 1,
        "unposted": 0,
        "clock_doubts": 0,
        "clock_doubt_amount": "0.00",
    }


def test_it_groups_by_any_dimension(run: Run, recorded: None) -> None:
    for by, rows in BY:
        report = run(*MARCH, "--by", by, "--json").json
        found = [(row[by], row["calls"], row["cost"]) for row in report["rows"]]
        assert sorted(found, key=str) == sorted(rows, key=str)
        assert report["by"] == [by]


def test_it_groups_by_several_dimensions_and_by_none(run: Run, recorded: None) -> None:
    rows = run(*MARCH, "--by", "project,band,day", "--json").json["rows"]
    assert {(row["project"], row["band"], row["day"]): row["cost"] for row in rows} == {
        ("search", "off_peak", "2025-03-03"): "0.72",
        ("search", "standard", "2025-03-03"): "1.44",
        ("search", None, "2025-03-03"): "0.00",
        ("support", "standard", "2025-03-03"): "2.19",
        (None, "standard", "2025-03-03"): "1.10",
    }
    (row,) = run(*MARCH, "--by", "", "--json").json["rows"]
    assert row["cost"] == "5.45"
    assert "5.45" in run(*MARCH, "--by", "").done


def test_it_keeps_to_what_was_asked_for(run: Run, recorded: None) -> None:
    for where, cost in WHERE:
        options = [option for one in where for option in ("--where", one)]
        assert run(*MARCH, *options, "--json").json["totals"]["cost"] == cost, where


def test_one_account_alone(run: Run, recorded: None) -> None:
    totals = run(*MARCH, "--account", "team", "--json").json["totals"]
    assert [totals[name] for name in ("calls", "cost", "untracked", "failed", "quarantined")] == [
        1,
        "1.10",
        "1.10",
        0,
        0,
    ]


def test_a_time_zone_moves_days_and_hours_and_nothing_else(run: Run, recorded: None) -> None:
    report = run(*MARCH, "--by", "day,hour", "--timezone", "Asia/Shanghai", "--json").json

    assert report["timezone"] == "Asia/Shanghai"
    assert report["from"] == "2025-03-01T00:00:00Z"
    assert [(row["day"], row["hour"], row["cost"]) for row in report["rows"]] == [
        ("2025-03-03", "2025-03-03T20:00:00+08:00", "4.73"),
        ("2025-03-04", "2025-03-04T01:00:00+08:00", "0.72"),
    ]


def test_from_and_to_select_by_completion(run: Run, recorded: None) -> None:
    report = run("report", "--from", NOON, "--to", "2025-03-04T01:00:00+08:00", "--json").json

    assert (report["from"], report["to"]) == (NOON, NIGHT)
    assert (report["totals"]["calls"], report["totals"]["cost"]) == (4, "4.73")
    told = run("report", "--from", NIGHT, "--to", "2025-03-04T00:00:00Z").done
    assert told.splitlines()[0] == "Spend in USD, calls completed"


def test_the_csv_has_the_rows_exactly(run: Run, recorded: None) -> None:
    printed = run(*MARCH, "--format", "csv").done

    assert printed.count("\r\n") == printed.count("\n")
    header, *rows = csv.reader(io.StringIO(printed, newline=""))
    assert header == ["project", "model", *MEASURES]
    asked = run(*MARCH, "--json").json["rows"]
    assert rows == [["" if value is None else str(value) for value in row.values()] for row in asked]


def test_the_table_names_everything_in_doubt(run: Run, recorded: None) -> None:
    told = run(*MARCH).done

    lines = told.splitlines()
    assert lines[0] == "Spend in USD, billing month 2025-03"
    assert lines[1] == "2025-03-01T00:00:00Z to 2025-04-01T00:00:00Z (end excluded), days and hours of UTC"
    for word in ("1 call failed", "1 call unmetered", "1 call unpriced", "1 call in quarantine"):
        assert word in told
    assert "costmeter quarantine list" in told
    (unpriced,) = [line.split() for line in lines if "no-such-model" in line]
    assert unpriced[:4] == ["search", "no-such-model", "1", "unpriced"], "a cost that is not known is not 0"


def test_what_the_clock_could_move_is_told(run: Run, recorded: None, tmp_path: Path) -> None:
    assert "clock" not in run(*MARCH).done
    edge, clock = "2025-03-03T16:30:00Z", {"clock_offset_seconds": 0.2}
    calls = [an_event(name, edge, detail=clock, model=name) for name in ("deepseek-chat", "no-such-model")]
    run("record", write(tmp_path / "near.ndjson", *calls))

    said = "1 call so near a change of price or month that the clock could move 0.55 USD"
    assert said in run(*MARCH).done
    totals = run(*MARCH, "--json").json["totals"]
    assert {name: totals[name] for name in CLOCK_DOUBTS} == {"clock_doubts": 1, "clock_doubt_amount": "0.55"}
    run("record", write(tmp_path / "more.ndjson", an_event("z", edge, detail=clock, output=2 * MILLION)))
    assert "2 calls so near a change of price or month that the clock could move 1.65 USD" in run(*MARCH).done


def test_amounts_of_a_table_stand_in_line_at_their_points(run: Run, recorded: None) -> None:
    lines = run(*MARCH, "--by", "band").done.splitlines()

    amounts = [line for line in lines if line.strip().startswith(("off_peak", "standard", "total"))]
    points = {tuple(place for place, letter in enumerate(line) if letter == ".") for line in amounts}
    assert len(amounts) == 3
    assert len(points) == 1


def test_nothing_recorded_is_a_report_of_nothing(run: Run, database: str) -> None:
    report = run(*MARCH, "--by", "day,hour,band,tag:x", "--json").json

    assert report["rows"] == []
    assert report["currency"] is None
    assert set(report["totals"].values()) == {0, "0.00"}
    assert run(*MARCH, "--format", "csv").done.count("\n") == 1
    assert run(*MARCH).done.startswith("Spend in no currency, billing month 2025-03\n")


def test_a_sum_past_64_bits_is_still_exact(run: Run, database: str, tmp_path: Path) -> None:
    dear = an_event("x", model="deepseek-chat", account="cny", output=10**12)
    run("account", "add", "cny", "--currency", "CNY")
    run("record", write(tmp_path / "calls.ndjson", dear, dear | {"event_id": "y"}, an_event("z", account="cny")))

    totals = run(*MARCH, "--json").json["totals"]
    assert totals["cost"] == "16000008.00"
    assert Decimal(totals["untracked"]) * 10**12 > 2**63


def test_two_currencies_are_never_summed(run: Run, recorded: None, tmp_path: Path) -> None:
    run("account", "add", "cny", "--currency", "CNY")
    run("record", write(tmp_path / "more.ndjson", an_event("z", account="cny")))

    says = "currency: there are accounts in CNY and USD, which are never summed; choose one"
    assert run(*MARCH).refused == says
    assert run(*MARCH, "--json").refused == says
    for currency, cost in {"CNY": "8.00", "USD": "5.45"}.items():
        report = run(*MARCH, "--currency", currency, "--json").json
        assert (report["currency"], report["totals"]["cost"]) == (currency, cost)
    assert run(*MARCH, "--account", "cny", "--json").json["totals"]["cost"] == "8.00"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("", "month: give either a month, or from and to"),
        ("--month 2025-03 --from 2025-03-01T00:00:00Z", "month '2025-03': give either a month, or from and to"),
        ("--from 2025-03-01T00:00:00Z", "from '2025-03-01T00:00:00Z': give from and to, and from before to"),
        ("--to 2025-03-01T00:00:00Z", "from: give from and to, and from before to"),
        ("--from 2025-03-02T00:00:00Z --to 2025-03-02T00:00:00Z", "from '2025-03-02T00:00:00Z': give from and to"),
        ("--from yesterday --to 2025-03-02T00:00:00Z", "from 'yesterday': write an RFC 3339 instant"),
        ("--from 2025-03-01T00:00:00 --to 2025-03-02T00:00:00Z", "from '2025-03-01T00:00:00': has no time zone"),
        ("--month 2025-3", "month '2025-3': write a month as YYYY-MM"),
        ("--month 2025-13", "month '2025-13': write a month as YYYY-MM"),
        ("--month 2025-03 --by team", "by 'team': use any of account, project, user, api_key, model, band, day, hour"),
        ("--month 2025-03 --by tag:", "by 'tag:': use any of account, project"),
        ("--month 2025-03 --by day,day", "by 'day,day': names a dimension twice"),
        ("--month 2025-03 --where project", "where 'project': write KEY=VALUE with a key of account, project"),
        ("--month 2025-03 --where day=2025-03-01", "where 'day=2025-03-01': write KEY=VALUE with a key of"),
        ("--month 2025-03 --timezone Mars", "timezone 'Mars': is no IANA time zone; use one such as UTC"),
        ("--month 2025-03 --currency EUR", "currency 'EUR': use one of USD, CNY"),
        ("--month 2025-03 --account nobody", "no account 'nobody'; it is made at its first call or credit"),
    ],
)
def test_a_scope_that_cannot_be_is_refused(run: Run, sqlite: str, options: str, says: str) -> None:
    assert run("report", *options.split()).refused.startswith(says)
