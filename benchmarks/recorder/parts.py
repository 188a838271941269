"""The recorder's parts alone, warm in a loop: in a call, which runs much else, each takes about three times that.

The real code is called, and nothing else of this benchmark knows its parts.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.recorder.answers import FRAMES, MODEL, completion_body, stream_events
from benchmarks.row import Row, paired
from costmeter.recorder.attribution import Attribution
from costmeter.recorder.call import END, UNDECIDED
from costmeter.recorder.draft import Ended, Intent, decode, encode, write_asked, write_attribution, write_draft
from costmeter.recorder.reading import Reading
from costmeter.recorder.record import complete, outcome
from costmeter.recorder.spool import Spool
from costmeter.recorder.tap import UsageTap

REPEATS = 300
_ID = "0199a0b1-0000-7000-8000-000000000000"
_WHOSE = write_attribution(Attribution(project="bench", api_key="fp_0123456789ab"))
_ASKED = json.dumps({"model": MODEL}).encode()
_INSTANT = datetime(2026, 11, 25, 12, 0, 0, 120_000, tzinfo=UTC)


def rows() -> list[Row]:
    """What the tap and the record cost, each against the plainest use of the standard library's json."""
    events, body = stream_events(), completion_body()
    whole = b"".join(events)
    data = [event.removeprefix(b"data: ") for event in events if event.startswith(b"data: {")]
    reading = _tapped([body])
    assert reading.usage == json.loads(body)["usage"] == _passed(events).usage == json.loads(data[-1])["usage"]
    draft, event = _draft(reading), complete(json.loads(_draft(reading)))
    return [
        _row(f"tap over {FRAMES} chunks, against json.loads of each", lambda: _passed(events), lambda: _loaded(data)),
        _row("tap over the same in one piece, against the same", lambda: _tapped([whole]), lambda: _loaded(data)),
        _row("tap over a JSON body, against json.loads", lambda: _tapped([body]), lambda: json.loads(body)),
        _row("writing a draft, against json.dumps of its event", lambda: _draft(reading), lambda: json.dumps(event)),
        _row(
            "making the record of a draft, against json.loads",
            lambda: complete(decode(draft)),
            lambda: json.loads(draft),
        ),
        _hand_over(draft),
    ]


def _row(name: str, ours: Callable[[], object], rival: Callable[[], object]) -> Row:
    return paired(name, REPEATS, lambda: _repeat(ours), lambda: _repeat(rival))


def _repeat(work: Callable[[], object]) -> None:
    for _ in range(REPEATS):
        work()


def _loaded(events: list[bytes]) -> list[Any]:
    return [json.loads(event) for event in events]


def _tapped(pieces: list[bytes]) -> Reading:
    tap = UsageTap()
    for piece in pieces:
        tap.feed(piece)
    return tap.read()


def _passed(chunks: list[bytes]) -> Reading:
    """As the chunks of a stream pass a call: what decides nothing waits and is read together."""
    tap, passed, count = UsageTap(), bytearray(), 0
    for chunk in chunks:
        passed += chunk
        count += 1
        if chunk[END:] != UNDECIDED:
            tap.feed(bytes(passed), count)
            passed.clear()
            count = 0
    return tap.read()


def _draft(reading: Reading) -> bytes:
    intent = encode(Intent(_ID, _ID, _WHOSE, write_asked(_ASKED), _INSTANT))
    said = outcome(200, reading, None, elapsed=1.0)
    ended = Ended(
        1.0, None, reading.bytes, reading.chunks, model=reading.model, response_id=reading.response_id, **said
    )
    return write_draft(intent, ended)


def _hand_over(draft: bytes) -> Row:
    """An intent and a draft into the spool, against the same two texts inserted into an SQLite file in WAL."""
    line, intent = draft.decode(), encode(Intent(_ID, _ID, _WHOSE, write_asked(_ASKED), _INSTANT))
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(lambda _records: None, folder=Path(folder) / "spool")
        database = sqlite3.connect(Path(folder) / "spool.sqlite3", isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "CREATE TABLE spool (line TEXT)"):
            database.execute(statement)

        def ours() -> None:
            spool.append(draft, is_begun=spool.begin(intent))

        def theirs() -> None:
            for _ in range(2):
                database.execute("INSERT INTO spool VALUES (?)", (line,))

        try:
            return _row("intent and draft into the spool, against SQLite in WAL", ours, theirs)
        finally:
            database.close()
            spool.close()
