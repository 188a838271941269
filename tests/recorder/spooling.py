"""A spool in a folder whose deliveries can be looked at, and can fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from costmeter.core.periods import parse_instant
from costmeter.recorder.attribution import Attribution
from costmeter.recorder.delivery import Record
from costmeter.recorder.draft import Ended, Intent, encode, write_asked, write_attribution, write_draft
from costmeter.recorder.leftovers import deliver_leftovers
from costmeter.recorder.spool import Spool

START = "2026-11-20T10:00:00Z"


def intent(event_id: str, started_at: str = START) -> bytes:
    """What is written down of a call that is about to be sent."""
    attribution, asked = write_attribution(Attribution("a")), write_asked(b'{"model":"m"}')
    return encode(Intent(event_id, event_id, attribution, asked, parse_instant(started_at)))


def ended(event_id: str, completed_at: str = "2026-11-20T10:00:01.5Z") -> bytes:
    """What is written down of a call that ended."""
    elapsed = (parse_instant(completed_at) - parse_instant(START)).total_seconds()
    said = Ended(elapsed, None, 1, 1, status="ok", usage={"prompt_tokens": 1}, model="m", response_id=None)
    return write_draft(intent(event_id), said)


class Deliveries:
    """Remembers what it is given, or refuses it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_away = False

    def __call__(self, records: list[Record]) -> None:
        if self.is_away:
            raise ConnectionError("the database is away")
        self.records.extend(records)

    @property
    def ids(self) -> list[str]:
        return [record["event_id"] for record in self.records]


def leftovers(folder: Path) -> list[Record]:
    """What dead processes left in a spool folder, delivered."""
    found: list[Record] = []

    def keep(records: list[Record]) -> bool:
        found.extend(records)
        return True

    deliver_leftovers(folder, keep)
    return found


def killed(folder: Path, script: str, *arguments: str) -> str:
    """Runs a script that kills itself with SIGKILL, and returns what it printed."""
    program = f"""
import json, os, signal, sys, time
from pathlib import Path
from costmeter.recorder.spool import Spool
from tests.recorder.spooling import Deliveries, intent, ended
folder, deliveries = Path(sys.argv[1]), Deliveries()
def kill():
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
{textwrap.dedent(script)}
kill()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line in a spool folder, of all lanes."""
    texts = [path.read_text() for path in sorted(folder.glob("*/*.ndjson"))]
    return [json.loads(line) for text in texts for line in text.splitlines() if line]


def call(spool: Spool, event_id: str) -> None:
    """A call that begins and ends."""
    is_begun = spool.begin(intent(event_id))
    spool.append(ended(event_id), is_begun=is_begun)
