"""No scheduler outlives its test, whatever became of that."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.jobs.schedules import STARTED


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    yield
    while STARTED:
        pid = STARTED.pop().pid
        try:
            is_running = os.waitpid(pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:
            continue  # it ended, and the test knows
        if is_running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
