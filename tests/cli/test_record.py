"""`costmeter record`: NDJSON in, counts out; nothing is lost, nothing counts twice, and no secret is kept."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from costmeter.cli.record import MOST_SHOWN
from tests.cli.running import Run, write
from tests.make import an_event, an_unmetered

COUNTS = ("accepted", "duplicates", "conflicts", "quarantined", "unpriced", "unmetered", "failed", "without_id")
KEY = "sk-0123456789abcdef0123456789abcdef"


def counts(**some: int) -> dict[str, int]:
    return dict.fromkeys(COUNTS, 0) | some


def test_the_counts_are_those_of_the_contract_in_its_order(run: Run, database: str, tmp_path: Path) -> None:
    file = write(
        tmp_path / "calls.ndjson",
        an_event("a"),
        an_event("b", model="no-such-model"),
        an_unmetered("c"),
        an_unmetered("d") | {"status": "failed", "http_status": 402},
        an_event(None),
    )

    counted = run("record", file, "--json").json

    assert tuple(counted) == COUNTS
    assert counted == counts(accepted=5, unpriced=1, unmetered=1, failed=1, without_id=1)


def test_the_table_says_the_same_to_people(run: Run, sqlite: str, tmp_path: Path) -> None:
    file = write(tmp_path / "calls.ndjson", an_event("a"), an_event("b", model="no-such-model"), an_event("a"))

    assert run("record", file).done.splitlines() == [
        "accepted            2",
        "  unpriced          1",
        "duplicates          1",
        "conflicts           0",
        "quarantined         0",
    ]


def test_what_was_recorded_is_posted(run: Run, database: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event()))

    totals = run("report", "--month", "2025-03", "--json").json["totals"]
    assert (totals["calls"], totals["cost"], totals["unposted"]) == (1, "1.10", 0)


def test_the_same_file_twice_counts_once(run: Run, database: str, tmp_path: Path) -> None:
    file = write(tmp_path / "calls.ndjson", an_event("a"), an_event(None), an_event(None), an_unmetered("c"))

    assert run("record", file, "--json").json == counts(accepted=4, unmetered=1, without_id=2)
    assert run("record", file, "--json").json == counts(duplicates=4)
    assert run("report", "--month", "2025-03", "--json").json["totals"]["cost"] == "3.30"


def test_equal_calls_without_an_id_are_told_apart_over_more_than_one_batch(
    run: Run, sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costmeter.cli.record.BATCH", 2)
    file = write(tmp_path / "calls.ndjson", *[an_event(None)] * 5)

    assert run("record", file, "--json").json == counts(accepted=5, without_id=5)
    assert run("record", file, "--json").json == counts(duplicates=5)


def test_broken_lines_are_kept_by_place_and_hash_and_the_rest_is_done(run: Run, database: str, tmp_path: Path) -> None:
    file = write(
        tmp_path / "calls.ndjson",
        an_event("a"),
        b'{"event_id": "b", "prompt": "a secret",',
        b'{"event_id": "\xff"}',
        b"",
        b"  \t ",
        b"[" * 100_000,
        b'{"event_id": ' + b"1" * 5_000 + b"}",
        b'"only a text"',
        an_event("z"),
    )

    ran = run("record", file, "--json")

    assert ran.code == 1
    assert json.loads(ran.out) == counts(accepted=2, quarantined=5)
    places = [f"calls.ndjson:{number}: " for number in (2, 3, 6, 7, 8)]
    kinds = ["malformed"] * 4 + ["refused"]
    shown = sorted(ran.err.splitlines(), key=lambda line: int(line.split(":")[1]))
    assert [line.startswith(place + kind) for line, place, kind in zip(shown, places, kinds, strict=True)] == [True] * 5
    for line, problem in zip(shown, ("Expecting", "no UTF-8", "nested too deep", "too many digits"), strict=False):
        assert problem in line
    assert "a secret" not in ran.err


def test_a_conflict_is_an_exit_of_1_and_the_first_stands(run: Run, database: str, tmp_path: Path) -> None:
    file = write(tmp_path / "calls.ndjson", an_event("a"), an_event("a", output=5), an_event("b"))

    ran = run("record", file, "--json")

    assert ran.code == 1
    assert json.loads(ran.out) == counts(accepted=2, conflicts=1)
    remedy = "was recorded before with other content; the first stands, this one is kept in quarantine"
    assert ran.err == f"calls.ndjson:2: conflict: event_id 'a': {remedy}\n"
    assert run("report", "--month", "2025-03", "--json").json["totals"]["cost"] == "2.20"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"completed_at": "2025-03-03T12:00:00"}, "completed_at '2025-03-03T12:00:00': has no time zone"),
        ({"completed_at": "2999-01-01T00:00:00Z"}, "completed_at '2999-01-01T00:00:00Z': is more than 0:05:00 ahead"),
        ({"usage": {"prompt_tokens": 2**63, "completion_tokens": 1}}, "prompt_tokens 9223372036854775808: is more"),
        (
            {
                "usage": {
                    "prompt_tokens": 5,
                    "prompt_cache_hit_tokens": 3,
                    "prompt_cache_miss_tokens": 3,
                    "completion_tokens": 1,
                }
            },
            "prompt_tokens 5: is not cache hits 3 + misses 3",
        ),
        ({"usage": None, "status": "ok"}, "usage: is missing"),
        ({"model": None}, "model: is missing"),
        ({"account": " "}, "account ' ': an account is named by"),
    ],
)
def test_bad_input_is_refused_by_field_value_and_remedy(
    run: Run, sqlite: str, tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    ran = run("record", write(tmp_path / "calls.ndjson", an_event("a") | changed))

    assert ran.code == 1
    assert ran.err.startswith(f"calls.ndjson:1: refused: {says}")
    assert ran.err.count("\n") == 1
    assert ran.out.splitlines()[-1] == "quarantined         1"


def test_a_flood_of_refusals_is_cut_short_with_a_hint(run: Run, sqlite: str, tmp_path: Path) -> None:
    ran = run("record", write(tmp_path / "calls.ndjson", *[b"{"] * (MOST_SHOWN + 3)))

    assert ran.code == 1
    assert len(ran.err.splitlines()) == MOST_SHOWN + 1
    assert ran.err.splitlines()[-1] == "... and 3 more; see: costmeter quarantine list"


def test_standard_input_is_a_file_too(run: Run, database: str) -> None:
    ran = run("record", "-", "--json", stdin=json.dumps(an_event()).encode() + b"\n\n{")

    assert ran.code == 1
    assert json.loads(ran.out) == counts(accepted=1, quarantined=1)
    assert ran.err.startswith("stdin:3: malformed: ")


@pytest.mark.parametrize("content", [b"", b"\n", b"\n  \n\n"])
def test_an_empty_file_is_done_at_once(run: Run, sqlite: str, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "empty.ndjson"
    file.write_bytes(content)

    assert run("record", file, "--json").json == counts()


def test_a_last_line_without_its_end_counts(run: Run, sqlite: str, tmp_path: Path) -> None:
    file = tmp_path / "calls.ndjson"
    file.write_bytes(json.dumps(an_event("a")).encode() + b"\r\n" + json.dumps(an_event("b")).encode())

    assert run("record", file, "--json").json == counts(accepted=2)


def test_a_file_that_begins_with_a_byte_order_mark_is_read(run: Run, sqlite: str, tmp_path: Path) -> None:
    file = tmp_path / "calls.ndjson"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(an_event("a")).encode() + b"\n")

    assert run("record", file, "--json").json == counts(accepted=1)


def test_a_file_that_cannot_be_read_is_refused(run: Run, sqlite: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.ndjson"

    assert run("record", missing).refused == f"file '{missing}': cannot be read: No such file or directory"
    assert run("record", tmp_path).refused == f"file '{tmp_path}': cannot be read: Is a directory"


def test_no_secret_reaches_the_database_or_the_screen(run: Run, sqlite: str, tmp_path: Path) -> None:
    file = write(
        tmp_path / "calls.ndjson",
        an_event("a", api_key=KEY, user=f"me {KEY}", tags={"key": KEY}, project=f"p-{KEY}"),
        an_event(f"id-{KEY}"),
        an_event("b", model=None) | {"api_key": KEY, "messages": "the prompt"},
        an_event("c", "never", error_code=KEY),
        b'{"api_key": "' + KEY.encode() + b'", "messages": "the prompt"',
    )

    ran = run("record", file)

    assert ran.code == 1
    assert "sk-" not in ran.out + ran.err
    path = sqlite.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        stored = "\n".join(connection.iterdump())
    assert "fp_" in stored
    assert "sk-0123" not in stored
    assert "the prompt" not in stored


def test_a_late_file_of_an_account_that_is_named_nowhere_else_makes_it(run: Run, database: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event(account="team-7")))

    assert [account["account"] for account in run("account", "list", "--json").json] == ["team-7"]
