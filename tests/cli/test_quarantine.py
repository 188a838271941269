"""`costmeter quarantine`: what could not be used, why, and all that may be kept of it."""

from __future__ import annotations

import getpass
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.cli.running import Run, write
from tests.make import an_event, record

KEYS = (
    "account", "item", "kind", "field", "error", "event_id", "completed_at", "billing_month", "received_at", "body",
    "dropped_fields", "place", "state", "decided_at", "decided_by", "reason",
)  # fmt: skip
BROKEN = b'{"api_key": "sk-0123456789abcdef", '


@pytest.fixture
def items(run: Run, database: str, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """One item of each kind, by kind."""
    file = write(
        tmp_path / "calls.ndjson",
        an_event("a"),
        an_event("a", output=1),
        BROKEN,
        an_event("naive", "2025-03-03T12:00:00", account="team", prompt="the prompt", answer="the answer"),
    )
    assert run("record", file).code == 1
    listed = run("quarantine", "list", "--json").json
    return {item["kind"]: item for item in listed}


def test_every_item_has_its_place_and_reason(items: dict[str, dict[str, Any]]) -> None:
    assert {kind: item["place"] for kind, item in items.items()} == {
        "conflict": "calls.ndjson:2",
        "malformed": "calls.ndjson:3",
        "refused": "calls.ndjson:4",
    }
    assert [tuple(item) for item in items.values()] == [KEYS] * 3
    refused = items["refused"]
    assert (refused["account"], refused["field"], refused["event_id"]) == ("team", "completed_at", "naive")
    assert (refused["dropped_fields"], refused["state"]) == (2, "open")
    assert "the prompt" not in str(refused)
    assert "the answer" not in str(refused)


def test_a_broken_line_is_its_hash_and_size_only(items: dict[str, dict[str, Any]]) -> None:
    line = BROKEN + b"\n"
    body = items["malformed"]["body"]
    assert {"sha256": body["sha256"], "size": body["size"]} == {
        "sha256": hashlib.sha256(line).hexdigest(),
        "size": len(line),
    }
    assert body.keys() == {"sha256", "size", "error"}


def test_an_item_can_be_shown_as_json_and_to_people(run: Run, items: dict[str, dict[str, Any]]) -> None:
    item = items["conflict"]

    assert run("quarantine", "show", item["item"], "--json").json == item
    told = run("quarantine", "show", item["item"]).done
    assert f"item            {item['item']}\n" in told
    assert '"event_id": "a"' in told


def test_the_list_for_people_names_what_to_show(run: Run, items: dict[str, dict[str, Any]]) -> None:
    lines = run("quarantine", "list").done.splitlines()

    assert lines[1].split() == ["item", "account", "kind", "state", "place", "received", "error"]
    shown = {line.split()[0]: line for line in lines[3:] if line.strip()}
    assert shown.keys() == {item["item"] for item in items.values()}
    for item in items.values():
        assert item["error"] in shown[item["item"]], "nothing is cut"


def test_the_list_can_be_of_one_account(run: Run, items: dict[str, dict[str, Any]]) -> None:
    assert run("quarantine", "list", "--account", "team", "--json").json == [items["refused"]]
    assert run("quarantine", "list", "--account", "nobody", "--json").json == []


def test_the_same_file_again_adds_nothing(run: Run, items: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    assert run("record", tmp_path / "calls.ndjson").code == 1
    assert len(run("quarantine", "list", "--json").json) == 3


def test_what_is_no_item_is_refused(run: Run, sqlite: str) -> None:
    assert run("quarantine", "show", "xyz").refused == "item 'xyz': is no item; see: costmeter quarantine list"
    assert run("quarantine", "show", "00ff").refused == "no item 00ff in quarantine; see: costmeter quarantine list"
    assert run("quarantine", "list", "--json").json == []


def test_an_event_that_was_corrected_leaves_its_item_by_a_replay(
    run: Run, items: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """What is wrong in quarantine is put right at its source; the item is then closed by hand."""
    naive = items["refused"]
    run("record", write(tmp_path / "corrected.ndjson", an_event("naive", account="team")))

    ran = run("quarantine", "replay", naive["item"], "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["items"] == [{"item": naive["item"], "state": "open", "error": naive["error"]}]
    assert ran.err == f"{naive['item']} (calls.ndjson:4): open: {naive['error']}\n"
    assert run("quarantine", "discard", naive["item"], "--reason", "sent again, corrected").done == "discarded 1\n"
    shown = run("quarantine", "show", naive["item"], "--json").json
    assert shown == naive | {
        "state": "discarded",
        "decided_at": shown["decided_at"],
        "decided_by": getpass.getuser(),
        "reason": "sent again, corrected",
    }


def test_what_is_replayed_is_recorded_posted_and_closed(run: Run, database: str, engine: Engine) -> None:
    record(engine, an_event("ahead", "2025-03-03T12:00:00Z", account="team"), now="2025-03-03T11:00:00Z")
    (item,) = run("quarantine", "list", "--json").json

    replayed = run("quarantine", "replay", "--all", "--by", "Ada", "--json").json
    assert (replayed["accepted"], replayed["items"]) == (
        1,
        [{"item": item["item"], "state": "replayed", "error": None}],
    )
    assert run("quarantine", "list", "--json").json == []
    (closed,) = run("quarantine", "list", "--state", "replayed", "--json").json
    assert (closed["decided_by"], closed["reason"]) == ("Ada", None)
    totals = run("report", "--month", "2025-03", "--json").json["totals"]
    assert (totals["cost"], totals["quarantined"], totals["unposted"]) == ("1.10", 0, 0)
    assert run("quarantine", "replay", "--all").done.split() == ["replayed", "0", "still", "open", "0"]


def test_a_conflict_can_be_given_an_id_of_its_own(run: Run, items: dict[str, dict[str, Any]]) -> None:
    conflict = items["conflict"]["item"]
    assert run("quarantine", "replay", conflict).code == 1
    assert run("quarantine", "replay", conflict, "--event-id", "a").refused == (
        "event_id 'a': must be an id that no event has yet"
    )

    assert run("quarantine", "replay", conflict, "--event-id", "b").done.split()[:2] == ["replayed", "1"]
    assert run("quarantine", "show", conflict, "--json").json["reason"] == "recorded as event b"
    assert run("report", "--month", "2025-03", "--account", "default", "--json").json["totals"]["calls"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("replay", "items: name the items to send again, or give --all"),
        ("replay {refused} --all", "items ['{refused}']: name the items to send again, or give --all"),
        ("replay {refused} --account team", "account 'team': goes with --all; an item is named alone"),
        ("replay --all --event-id x", "event_id 'x': gives one conflict an id of its own; name that item"),
        (
            "replay {refused} --event-id x",
            "event_id 'x': gives one conflict an id of its own; name one, and nothing else",
        ),
        (
            "replay {malformed}",
            (
                "item '{malformed}': only its hash is kept; correct calls.ndjson:3 at its source and record it again, "
                "then discard this"
            ),
        ),
        ("replay 00ff", "no item 00ff in quarantine; see: costmeter quarantine list"),
        ("discard {refused} --reason =", "reason '': write 1 to 256 characters"),
        ("discard {refused} xyz --reason x", "item 'xyz': is no item; see: costmeter quarantine list"),
        ("discard {refused} --reason x --by =", "by '': write 1 to 256 characters"),
    ],
)
def test_what_cannot_be_decided_is_refused_and_changes_nothing(
    run: Run, items: dict[str, dict[str, Any]], arguments: str, says: str
) -> None:
    names = {kind: item["item"] for kind, item in items.items()}
    given = [word.removesuffix("=") for word in arguments.format(**names).split()]

    assert run("quarantine", *given).refused == says.format(**names)
    assert len(run("quarantine", "list", "--json").json) == 3


def test_what_was_decided_once_is_not_decided_again(run: Run, items: dict[str, dict[str, Any]]) -> None:
    name = items["malformed"]["item"]
    assert run("quarantine", "discard", name, "--reason", "a test file", "--json").json == {"discarded": [name]}

    for again in (["discard", name, "--reason", "x"], ["replay", name]):
        assert run("quarantine", *again).refused == (
            f"item '{name}': was discarded before; see: costmeter quarantine show {name}"
        )
