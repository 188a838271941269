"""`costmeter quarantine`: what could not be used, why, and all that may be kept of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Run, write
from tests.make import an_event

KEYS = (
    "account", "item", "kind", "field", "error", "event_id", "completed_at", "billing_month", "received_at", "body",
    "dropped_fields", "place", "state",
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

    assert lines[1].split() == ["item", "account", "kind", "place", "received", "error"]
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
