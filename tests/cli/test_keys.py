"""`costmeter keys` and `costmeter audit`: made once, shown once, listed without secrets."""

from __future__ import annotations

import re

from tests.cli.running import Run, words


def test_a_key_is_printed_once_and_alone(run: Run, database: str) -> None:
    made = run(*words("keys create backend --role ingest --account a"))

    assert re.fullmatch(r"cm_[0-9a-f]{16}_[0-9a-f]{64}\n", made.out)
    assert "backend" in made.err
    assert made.out.strip().split("_")[2] not in run("keys", "list").done + run("keys", "list", "--json").done


def test_lists_say_what_each_may_do_and_whether_it_ended(run: Run, database: str) -> None:
    run(*words("keys create backend --role ingest --role read --account a --expires-at 2999-01-01T00:00:00Z"))
    run(*words("keys create old --role admin"))
    run(*words("keys revoke old --reason gone --by root"))

    rows = [line.split() for line in run("keys", "list").done.splitlines() if line.split()]
    assert [row[0] for row in rows[-2:]] == ["backend", "old"]
    assert rows[-2][2:] == ["ingest,", "read", "a", "all", "any", "any", "2999-01-01T00:00:00Z", "active"]
    assert rows[-1][-1] == "revoked"


def test_rotate_prints_the_new_key(run: Run, database: str) -> None:
    first = run(*words("keys create backend --role ingest --json")).json
    second = run(*words("keys rotate backend --overlap-hours 0.5 --json")).json

    assert first["key"] != second["key"]
    assert {"name": "backend", "roles": ["ingest"], "active": True}.items() <= second.items()
    assert [key["active"] for key in run("keys", "list", "--json").json] == [True, True]


def test_limits_are_made_with_a_key_kept_when_it_rotates_and_set_anew(run: Run, database: str) -> None:
    made = run(*words("keys create backend --role call --calls-per-minute 60 --calls-at-once 4 --json")).json
    assert (made["calls_per_minute"], made["calls_at_once"]) == (60, 4)
    rotated = run(*words("keys rotate backend --overlap-hours 0 --json")).json
    assert (rotated["calls_per_minute"], rotated["calls_at_once"]) == (60, 4)
    assert f"backend ({rotated['key_id']})" in run(*words("keys limit backend --calls-at-once 8")).done

    (row,) = [line.split() for line in run("keys", "list").done.splitlines() if rotated["key_id"] in line]
    assert row == ["backend", rotated["key_id"], "call", "all", "all", "any", "8", "never", "active"]
    assert run(*words("keys limit backend --calls-per-minute 0")).refused.startswith(
        "calls_per_minute 0: write a whole"
    )
    refused = run(*words("keys create other --role ingest --calls-at-once 1")).refused
    assert refused == "calls_at_once 1: limits calls through the gateway; give the key the role call, too"


def test_the_audit_log_tells_who_changed_what(run: Run, database: str) -> None:
    run(*words("keys create backend --role ingest --by ann"))
    run(*words("credit add --kind granted --amount 5.00 --account a --reference gift --by bob"))
    run(*words("credit void gift --account a --reason mistaken --by eve"))

    told = [(entry["by"], entry["action"], entry["account"], entry["reason"]) for entry in run("audit", "--json").json]
    assert told == [
        ("eve", "credit.void", "a", "mistaken"),
        ("bob", "credit.add", "a", None),
        ("ann", "key.create", None, None),
    ]
    assert [entry["action"] for entry in run(*words("audit --account a --limit 1 --json")).json] == ["credit.void"]
    assert "mistaken" in run("audit").done


def test_an_unknown_role_is_refused(run: Run, database: str) -> None:
    said = run(*words("keys create backend --role boss")).refused
    assert said == "role 'boss': use one or more of ingest, call, read, finance, admin"
