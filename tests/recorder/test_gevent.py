"""gevent, whose greenlets are no threads, is refused by name; each program has an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
{patch}
import costmeter
from costmeter.core.errors import SetupError
from openai import OpenAI

doors = (
    costmeter.RecordingTransport,
    costmeter.AsyncRecordingTransport,
    lambda: costmeter.wrap(OpenAI(api_key="sk-test")),
)
for open_door in doors:
    try:
        open_door()
        print("open")
    except SetupError as error:
        print(error)
"""


def doors_after(patch: str) -> list[str]:
    """What each door says, one line each."""
    program = PROGRAM.format(patch=patch)
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.splitlines()


@pytest.mark.parametrize("patch", ["patch_all", "patch_thread"])
def test_no_door_opens_where_gevent_has_replaced_threads(patch: str) -> None:
    said = doors_after(f"from gevent import monkey; monkey.{patch}()")

    assert [line.partition(":")[0] for line in said] == ["gevent's monkey patching is active"] * 3


def test_gevent_that_has_patched_nothing_is_no_hindrance() -> None:
    assert doors_after("import gevent.monkey") == ["open"] * 3
