"""The upstream, compiled when it is needed, with the answers of the other benchmarks; and how it paces its streams."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from benchmarks.recorder import answers

SOURCE = Path(__file__).with_name("upstream.c")


class Pace(NamedTuple):
    """How a stream is sent: so many frames every so many microseconds; 0 is all at once."""

    microseconds: int
    frames: int = 1


BURST = Pace(0)
FIRST_ONLY = Pace(2_000, answers.FRAMES)  # the first frame, and 2 ms later the rest: for the time to the first byte


def why_not() -> str | None:
    """Why it cannot be had here; None where it can."""
    return None if shutil.which("gcc") else "the upstream is in C and gcc is not installed: apt-get install gcc"


@contextmanager
def serving(core: int) -> Iterator[str]:
    """The base URL of an upstream on that core; it ends with the block. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="costmeter-bench-") as name:
        folder = Path(name)
        program, plain, stream = folder / "upstream", folder / "plain", folder / "stream"
        subprocess.run(["gcc", "-O2", "-o", program, SOURCE], check=True)
        plain.write_bytes(answers.completion())
        stream.write_bytes(answers.stream())
        command = ["taskset", "-c", str(core)]
        with subprocess.Popen(
            [*command, program, plain, stream], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
            process.communicate()  # closes its standard input, which ends it


def set_pace(url: str, pace: Pace) -> None:
    """Of the streams that begin from now on."""
    with urlopen(f"{url}/pace/{pace.microseconds}/{pace.frames}") as answer:
        answer.read()
