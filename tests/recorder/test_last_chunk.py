"""The record of a stream is in the system's hands before the caller gets its last chunk, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from costmeter.recorder.attribution import NOBODY
from costmeter.recorder.call import Call
from costmeter.recorder.clock import HostClock
from costmeter.recorder.draft import write_attribution
from costmeter.recorder.spool import Spool
from tests.recorder.bodies import anthropic_stream, chat_stream, trailing_usage_stream

RESPONSE = {"id": "r", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}


def responses_stream(last: str) -> bytes:
    """A stream of the responses API; `last` is the field that its final event ends with."""
    said = {"type": "response.completed", "sequence_number": 9, "response": RESPONSE | {"status": "completed"}}
    said[last] = said.pop(last)
    deltas = [
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x","usage":null}\n\n'
    ] * 5
    return b"".join([*deltas, b"event: response.completed\ndata: %s\n\n" % json.dumps(said).encode()])


STREAMS = {
    "chat": chat_stream(),
    "trailing usage": trailing_usage_stream(),
    "anthropic": anthropic_stream(),
    **{f"responses, {last} last": responses_stream(last) for last in ("sequence_number", "response")},
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("pieces", ["events", 1, 7, 4096])
def test_it_is_there_once_the_last_chunk_has_passed(stream: bytes, pieces: str | int, tmp_path: Path) -> None:
    """As if the process were killed right then: nobody ends the call, and its lane is read as a dead process's is."""
    spool = Spool(lambda _: None, folder=tmp_path / "spool")
    call = Call(write_attribution(NOBODY), b'{"model":"m","stream":true}', None, HostClock(), spool)
    call.answered(200, {})
    if isinstance(pieces, int):
        chunks = [stream[at : at + pieces] for at in range(0, len(stream), pieces)]
    else:
        chunks = [event + b"\n\n" for event in stream.removesuffix(b"\n\n").split(b"\n\n")]
    for chunk in chunks:
        call.observe(chunk)

    lines = [
        json.loads(line)
        for path in (tmp_path / "spool").rglob("*.ndjson")
        for line in path.read_bytes().split(b"\n")
        if line
    ]

    assert [line["ended"]["status"] for line in lines if "ended" in line] == ["ok"]
    spool.close()
