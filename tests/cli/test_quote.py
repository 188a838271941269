"""`costmeter quote`: the price of one call line by line, or of many; never a price that is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Run, words, write
from tests.make import usage

REASONER = words("quote --model deepseek-reasoner --completed-at 2025-03-01T16:30:00Z")
COUNTS = words("--cache-hit 512 --cache-miss 51 --output 116")
KEYS = ("model", "completed_at", "currency", "tariff", "band", "provisional", "lines", "total")
LINE = ("meter", "quantity", "unit", "rate", "per", "amount")


def test_the_json_is_that_of_the_contract(run: Run) -> None:
    quoted = run(*REASONER, *COUNTS, "--json").json

    assert tuple(quoted) == KEYS
    assert [tuple(line) for line in quoted["lines"]] == [LINE] * 3
    assert quoted | {"lines": None} == {
        "model": "deepseek-reasoner",
        "completed_at": "2025-03-01T16:30:00Z",
        "currency": "USD",
        "tariff": "deepseek-r1/2025-02-26",
        "band": "off_peak",
        "provisional": False,
        "lines": None,
        "total": "0.000088605",
    }
    assert [tuple(line.values()) for line in quoted["lines"]] == [
        ("input.cache_hit", 512, "tokens", "0.035", 1_000_000, "0.00001792"),
        ("input.cache_miss", 51, "tokens", "0.135", 1_000_000, "0.000006885"),
        ("output", 116, "tokens", "0.550", 1_000_000, "0.0000638"),
    ]


def test_the_table_shows_the_same_lines_and_the_total(run: Run) -> None:
    lines = run(*REASONER, *COUNTS).done.splitlines()

    assert lines[:2] == [
        "deepseek-reasoner completed at 2025-03-01T16:30:00Z",
        "tariff deepseek-r1/2025-02-26, band off_peak",
    ]
    assert lines[5].split() == words("input.cache_hit 512 tokens 0.035 per 1,000,000 0.00001792")
    assert lines[-2].split() == ["total", "0.000088605"]


@pytest.mark.parametrize(
    ("options", "total"),
    [
        ("--completed-at 2025-03-01T16:29:59.999999Z --output 1000000", "2.19"),
        ("--completed-at 2025-03-02T00:30:00+08:00 --output 1000000", "0.55"),
        ("--completed-at 2025-03-01T16:30:00Z --output 1000000 --currency CNY", "4.00"),
        ("--completed-at 2025-03-01T16:30:00Z", "0.00"),
        ("--completed-at 2025-03-01T16:30:00Z --started-at 2025-03-01T16:00:00Z --output 1000000", "0.55"),
    ],
)
def test_the_completion_decides_in_the_currency_asked_for(run: Run, options: str, total: str) -> None:
    assert run("quote", "--model", "deepseek-reasoner", *options.split(), "--json").json["total"] == total


def test_a_price_by_an_unpublished_calendar_says_so(run: Run) -> None:
    asked = ["quote", "--model", "deepseek-flash", "--completed-at", "2099-03-02T02:00:00Z", "--output", "1"]

    assert run(*asked, "--json").json["provisional"] is True
    assert "band peak (provisional: the holiday calendar is not published yet)" in run(*asked).done


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--model no-such --completed-at 2025-03-01T00:00:00Z", "no price for model 'no-such' at 2025-03-01T00:00:00Z"),
        (
            "--model deepseek-chat --completed-at 2026-07-24T15:59:00Z",
            "no price for model 'deepseek-chat' at 2026-07-24T15:59:00Z in USD",
        ),
        (
            "--model deepseek-chat --completed-at 2024-07-01T00:00:00Z --cache-hit 1",
            "no price for model 'deepseek-chat' at 2024-07-01T00:00:00Z in USD: tariff deepseek-v2 lists no rate for",
        ),
    ],
)
def test_no_price_is_an_exit_of_1_and_never_0(run: Run, options: str, says: str) -> None:
    ran = run("quote", *options.split(), "--json")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"costmeter: {says}")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--model deepseek-chat", "--completed-at: is missing; give --model and --completed-at, or --file"),
        ("--completed-at 2025-03-01T00:00:00Z", "--model: is missing; give --model and --completed-at, or --file"),
        ("--model m --completed-at 2025-03-01", "completed_at '2025-03-01': write an RFC 3339 instant such as"),
        ("--model m --completed-at 2025-03-01T00:00:00", "completed_at '2025-03-01T00:00:00': has no time zone"),
        ("--model m --completed-at 2025-03-01T00:00:00Z --output -1", "output_tokens -1: is no token count"),
        ("--model m --completed-at 2025-03-01T00:00:00Z --currency EUR", "currency 'EUR': use one of USD, CNY"),
        ("--model m --completed-at 2025-03-01T00:00:00Z --started-at x", "started_at 'x': write an RFC 3339"),
    ],
)
def test_bad_input_is_refused_by_field_value_and_remedy(run: Run, options: str, says: str) -> None:
    assert run("quote", *options.split()).refused.startswith(says)


def a_call(**changed: Any) -> dict[str, Any]:
    call = {"model": "deepseek-chat", "completed_at": "2025-03-03T12:00:00Z", "usage": usage(output=1_000_000)}
    return call | changed


def test_a_file_of_calls_is_quoted_line_by_line(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "calls.ndjson", a_call(), b"", a_call(currency="CNY"), a_call(model="deepseek-reasoner"))

    quoted = [json.loads(line) for line in run("quote", "--file", file).done.splitlines()]
    assert [tuple(one) for one in quoted] == [KEYS] * 3
    assert [(one["currency"], one["total"]) for one in quoted] == [("USD", "1.10"), ("CNY", "8.00"), ("USD", "2.19")]
    everything = file.read_bytes()
    monkeyed = run("quote", "--file", "-", "--currency", "CNY", stdin=everything)
    assert [json.loads(line)["total"] for line in monkeyed.done.splitlines()] == ["8.00", "8.00", "16.00"]


def test_lines_without_a_price_say_so_in_their_place(run: Run, tmp_path: Path) -> None:
    file = write(
        tmp_path / "calls.ndjson", a_call(model="no-such"), b"{", b"[" * 100_000, b"[]", a_call(usage=None), a_call()
    )

    ran = run("quote", "--file", file)

    assert ran.code == 1
    assert ran.err == "costmeter: some lines have no price; see the lines with an error\n"
    *wrong, right = [json.loads(line) for line in ran.out.splitlines()]
    assert [(one["line"], *one) for one in wrong] == [(number, "line", "error") for number in range(1, 6)]
    assert right["total"] == "1.10"


def test_a_file_that_cannot_be_read_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("quote", "--file", tmp_path / "missing").refused.startswith(f"--file '{tmp_path / 'missing'}': cannot")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert run("quote", "--file", tmp_path / "binary").refused.startswith(f"--file '{tmp_path / 'binary'}': cannot")
