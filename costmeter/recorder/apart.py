"""Delivering from a process of its own, so that recording, pricing and posting take nothing of a busy interpreter.

    python -m costmeter.recorder.apart

is that process: a line on its standard input is a batch of records, and a line on its standard output is `null` once
they are where the settings say, or what went wrong. It ends with its input, so with the process that began it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

from msgspec import MsgspecError

from costmeter.recorder.delivery import Record
from costmeter.recorder.draft import decode, encode

# What this process yields to the one that passes calls on, where both want the same core. Records can wait.
NICENESS = 10
SECONDS_TO_END = 10.0


class NotDeliveredError(Exception):
    """The other process could not deliver, or is gone."""


class DeliverApart:
    """What a spool delivers to: a process that is begun at once, since that takes a while, and anew where it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = _begin()

    def __call__(self, records: list[Record]) -> None:
        """Returns when the records are stored and posted; raises NotDeliveredError where that is not certain."""
        said = self._ask(_written(records))
        if not said:
            self.close()
            raise NotDeliveredError("the process that delivers has ended")
        problem = json.loads(said)
        if problem is not None:
            raise NotDeliveredError(problem)

    def close(self) -> None:
        """Ends the process; the next delivery begins another."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]  # it was opened with pipes
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()  # type: ignore[union-attr]

    def _ask(self, batch: bytes) -> bytes:
        process = self._process = self._process or _begin()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(batch + b"\n")
            process.stdin.flush()
        except OSError:
            return b""
        return process.stdout.readline()


def _written(records: list[Record]) -> bytes:
    try:
        return encode(records)
    except (OverflowError, TypeError, ValueError, MsgspecError):
        return json.dumps(records).encode()  # a count beyond 64 bits: others judge it


def _begin() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "costmeter.recorder.apart"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own


def main() -> None:
    """Delivers until its input ends; a signal to the group is for the process that began it, which ends in order."""
    from costmeter import logs, wiring
    from costmeter.recorder.delivery import OpenInEachProcess

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed goes where the log goes
    wiring.collect_seldom()
    logs.configure(wiring.settings().log_level)
    deliver = OpenInEachProcess(wiring.delivery)
    with suppress(Exception):  # a database that is away is tried again with the first batch
        deliver([])
    for batch in sys.stdin.buffer:
        problem = None
        try:
            deliver(decode(batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, the records are kept and tried again
            problem = f"{type(error).__name__}: {error}"
        try:
            os.write(answers, json.dumps(problem).encode() + b"\n")
        except BrokenPipeError:
            break  # who asked is gone; what waits in its lane is delivered again, and counts once
    deliver.close()


if __name__ == "__main__":
    main()
