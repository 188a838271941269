"""What a command leaves: its exit code and what it printed; and files of events for it to read."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from costmeter.cli.main import main


class Ran(NamedTuple):
    """One run of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON; it must have succeeded without a word on standard error."""
        assert (self.code, self.err) == (0, "")
        return json.loads(self.out)

    @property
    def done(self) -> str:
        """What it printed; it must have succeeded without a word on standard error."""
        assert (self.code, self.err) == (0, "")
        return self.out

    @property
    def refused(self) -> str:
        """The one line of its error; nothing could be done with this input."""
        assert (self.code, self.out) == (2, "")
        line, end, rest = self.err.partition("\n")
        assert (end, rest) == ("\n", ""), f"an error is one line, not {self.err!r}"
        assert line.startswith("costmeter: ")
        return line.removeprefix("costmeter: ")


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `costmeter` with arguments, and perhaps bytes on standard input, in this process."""

    def run_it(*arguments: object, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return run_it


def write(path: Path, *bodies: object) -> Path:
    """An NDJSON file; bytes are a line as they are."""
    lines = [body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode() for body in bodies]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def words(line: str, between: str = " ") -> list[str]:
    """A command line as its arguments, none of which has a space in it."""
    return line.split(between)
