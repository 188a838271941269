"""DeepSeek through the gateway is DeepSeek: for Node, curl and Python, to the byte and piece by piece."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from costmeter.core.money import format_amount
from costmeter.core.secrets import fingerprint
from costmeter.recorder.client import wrap
from costmeter.simulator import Simulator
from tests.cli.running import Run
from tests.e2e.clients import (
    ASKED,
    FAULTS,
    Seen,
    ask_in_node,
    ask_in_python,
    ask_with_curl,
    node,
    pieces_in_node,
    pieces_in_python,
    pieces_with_curl,
)
from tests.e2e.running import run_program
from tests.e2e.test_gateway_served import calls, process, settings
from tests.gateway.raw import PATIENCE, Listener, read_request
from tests.gateway.serving import Served
from tests.recorder.conftest import Records, records

__all__ = ["node", "records", "settings"]

KEY = "sk-clients-0123456789abcdef"


def check_same(direct: list[Seen], through: list[Seen]) -> None:
    """The answers are equal, headers and bodies, and each call's has its event's id."""
    assert [one.comparable() for one in through] == [one.comparable() for one in direct]
    told = [one.path for one in through if "x-costmeter-event-id" in one.headers]
    assert told == [one.path for one in through if one.path.endswith(("/completions", "/responses", "/messages"))]
    assert not any(name.startswith("x-costmeter-") for one in direct for name in one.headers)


def test_node_python_and_curl_see_the_same(
    node: Path,
    run: Run,
    settings: dict[str, str],
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    there = simulator.base_url
    with process("gateway", **settings) as (url, _):
        _, direct = ask_in_node(node, there, f"{KEY}-node-direct")
        results, through = ask_in_node(node, url, f"{KEY}-node")
        check_same(direct, through)
        assert len(through) == 12  # the SDK made a second attempt at 429 and 503
        check_same(ask_in_python(there, f"{KEY}-python-direct"), ask_in_python(url, f"{KEY}-python"))
        check_same(ask_with_curl(there, f"{KEY}-curl-direct", tmp_path), ask_with_curl(url, f"{KEY}-curl", tmp_path))
    assert [results[fault]["status"] for fault in FAULTS] == [402, 429, 503]
    assert [results[fault]["error"] for fault in FAULTS] == ["APIError", "RateLimitError", "InternalServerError"]
    assert results["chatStream"][-1]["usage"]["total_tokens"] > 0
    assert results["balance"]["is_available"]
    monkeypatch.setenv("COSTMETER_DATABASE_URL", settings["DATABASE_URL"])
    assert {row["project"]: row["calls"] for row in calls(run)} == {"node": 5, "python": 7, "curl": 4}
    assert totals(run)["failed"] == 5 + 5 + 3


def totals(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run(
        "report", "--from", "2026-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z", "--json"
    ).json["totals"]
    return found


EVENT = (
    'data: {"id":"r-1","model":"deepseek-flash","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}'
)
USED = 'data: {"id":"r-1","model":"deepseek-flash","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
PIECES = [
    ": keep-alive\n\n",
    ": keep-alive\n\n",
    EVENT + "\n\n",
    "\n",
    EVENT + "\n\n",
    USED + "\n\n",
    "data: [DONE]\n\n",
]


class Stepwise(Listener):
    """Sends a piece of its answer only when it is told that the one before has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)

    def converse(self, connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            for piece in PIECES:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece.encode()))
                assert self.arrived.acquire(timeout=PATIENCE)
            connection.sendall(b"0\r\n\r\n")


def test_each_piece_arrives_before_the_next_is_sent(node: Path, records: Records) -> None:
    with Stepwise() as vendor, Served(vendor.base_url, records.spool) as gateway:
        url, path = gateway.base_url, "/chat/completions"
        for pieces in (pieces_in_node(node, url, KEY, path), pieces_with_curl(url, path), pieces_in_python(url, path)):
            for expected in PIECES:
                assert next(pieces) == expected
                vendor.arrived.release()
            assert list(pieces) == []
    assert [record["status"] for record in records.all()] == ["ok"] * 3


def recorded_by(client: OpenAI, records: Records) -> list[dict[str, Any]]:
    """The records of calls of every kind and ending, without what two calls never share."""
    client.chat.completions.create(**ASKED)
    list(client.chat.completions.create(**ASKED, stream=True))
    client.responses.create(model=ASKED["model"], input="Hello")
    list(client.responses.create(model=ASKED["model"], input="Hello", stream=True))
    for fault in ("402", "503", "no_usage"):
        with suppress(APIStatusError):
            client.chat.completions.create(**ASKED, extra_headers={"x-simulator-fault": fault})
    found = records.all()
    for record in found:
        own = record.pop("event_id")
        for name in ("operation_id", "started_at", "completed_at"):
            assert record.pop(name)
        answer_id = record.pop("response_id")  # of an error, which has none, the one that the gateway told
        assert answer_id in (own, None) if record["status"] == "failed" else answer_id not in (own, None)
        assert record["detail"].pop("chunks") > 0
        record["detail"].pop("clock_offset_seconds")
    return found


def test_the_records_are_those_of_the_wrapper(simulator: Simulator, records: Records) -> None:
    ours = Records()
    with Served(simulator.base_url, ours.spool) as gateway:
        options: Any = {"api_key": f"{KEY}-records", "max_retries": 0}
        headers = {"x-costmeter-project": "search", "x-costmeter-tags": "team=a"}
        with OpenAI(base_url=gateway.base_url, default_headers=headers, **options) as client:
            through = recorded_by(client, ours)
    options["api_key"] = f"{KEY}-wrapped"
    with OpenAI(base_url=simulator.base_url, **options) as bare:
        wrapped = recorded_by(wrap(bare, project="search", tags={"team": "a"}, _spool=records.spool), records)
    assert [record.pop("api_key") for record in through] == [fingerprint(f"{KEY}-records")] * 7
    assert [record.pop("api_key") for record in wrapped] == [fingerprint(f"{KEY}-wrapped")] * 7
    assert through == wrapped
    assert [record["status"] for record in through] == ["ok"] * 4 + ["failed", "failed", "unmetered"]


BOTH_DOORS = """
import sys
from contextlib import suppress
from openai import APIStatusError, OpenAI
import costmeter
client = costmeter.wrap(OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0), project="search")
asked = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
for number in range(3):
    client.chat.completions.create(**asked)
    list(client.chat.completions.create(**asked, stream=True))
for fault in ("402", "503", "no_usage"):
    with suppress(APIStatusError):
        client.chat.completions.create(**asked, extra_headers={"x-simulator-fault": fault})
with client.chat.completions.create(**asked, stream=True) as stream:
    next(stream)
assert costmeter.flush(30)
"""


@pytest.fixture
def vendor() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


def test_a_call_through_both_doors_counts_once(
    run: Run, settings: dict[str, str], vendor: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**settings, "GATEWAY_UPSTREAM": vendor.base_url, "GATEWAY_DRAIN": "true"}
    with process("gateway", **settings) as (url, _):
        own = {**settings, "SPOOL_DIR": str(tmp_path / "own")}
        ran = run_program(BOTH_DOORS, url, f"{KEY}-both", folder=tmp_path, **own)
        assert ran.code == 0, ran.err
    monkeypatch.setenv("COSTMETER_DATABASE_URL", settings["DATABASE_URL"])
    found = totals(run)
    assert (found["calls"], found["failed"], found["unmetered"], found["quarantined"]) == (7, 2, 1, 0)
    whole = [paid.bill.cost for paid in vendor.ledger.calls if not (paid.bill.aborted or paid.bill.fault)]
    assert found["cost"] == format_amount(sum(whole))
