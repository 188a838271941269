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
from costmeter.recorder.reading import Reading
from costmeter.recorder.record import Asked, build_intent, build_record, outcome
from costmeter.recorder.spool import Spool
from costmeter.recorder.tap import UsageTap

REPEATS = 300
_ID = "0199a0b1-0000-7000-8000-000000000000"
_INSTANT = datetime(2026, 11, 25, 12, 0, 0, 120_000, tzinfo=UTC)


def rows() -> list[Row]:
    """What the tap and the record cost, each against the plainest use of the standard library's json."""
    events, body = stream_events(), completion_body()
    data = [event.removeprefix(b"data: ") for event in events if event.startswith(b"data: {")]
    reading = _tapped([body])
    assert reading.usage == json.loads(body)["usage"] == _tapped(events).usage == json.loads(data[-1])["usage"]
    record = _record(reading)
    return [
        _row(f"tap over {FRAMES} chunks, against json.loads of each", lambda: _tapped(events), lambda: _loaded(data)),
        _row("tap over a JSON body, against json.loads", lambda: _tapped([body]), lambda: json.loads(body)),
        _row("building a record, against json.dumps of it", lambda: _record(reading), lambda: json.dumps(record)),
        _hand_over(record),
    ]


def _row(name: str, ours: Callable[[], object], rival: Callable[[], object]) -> Row:
    return paired(name, REPEATS, lambda: _repeat(ours), lambda: _repeat(rival))


def _repeat(work: Callable[[], object]) -> None:
    for _ in range(REPEATS):
        work()


def _loaded(events: list[bytes]) -> list[Any]:
    return [json.loads(event) for event in events]


def _tapped(chunks: list[bytes]) -> Reading:
    tap = UsageTap()
    for chunk in chunks:
        tap.feed(chunk)
    return tap.read()


def _record(reading: Reading) -> dict[str, Any]:
    intent = build_intent(
        event_id=_ID,
        operation_id=_ID,
        attribution=Attribution(project="bench", api_key="fp_0123456789ab"),
        asked=Asked(MODEL),
        started_at=_INSTANT,
    )
    ended = outcome(200, reading, None, elapsed=1.0)
    return build_record(intent, reading=reading, completed_at=_INSTANT, outcome=ended, clock_offset=0.1)


def _hand_over(record: dict[str, Any]) -> Row:
    """An intent and a record into the spool, against the same two texts inserted into an SQLite file in WAL."""
    line = json.dumps(record)
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(lambda _records: None, folder=Path(folder) / "spool")
        database = sqlite3.connect(Path(folder) / "spool.sqlite3", isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "CREATE TABLE spool (line TEXT)"):
            database.execute(statement)

        def ours() -> None:
            spool.append(record, is_begun=spool.begin(record))

        def theirs() -> None:
            for _ in range(2):
                database.execute("INSERT INTO spool VALUES (?)", (line,))

        try:
            return _row("intent and record into the spool, against SQLite in WAL", ours, theirs)
        finally:
            database.close()
            spool.close()
