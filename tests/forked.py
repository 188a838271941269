"""Children of a test: forked, so that they begin warm, with a pipe on which they say what they have done."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple

Say = Callable[[object], object]


class Child(NamedTuple):
    """A process that runs a function of the test, and the end of the pipe on which it is heard."""

    pid: int
    ear: int

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> tuple[int, list[str]]:
        """Waits until it is gone: its exit code, negative for a signal, and what it said."""
        with os.fdopen(self.ear, encoding="utf-8") as pipe:
            said = pipe.read().splitlines()
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), said


def fork(work: Callable[[Say], object]) -> Child:
    """Runs `work` in a child. It must open its own databases: the parent's connections are not to be touched."""
    ear, mouth = os.pipe()
    pid = os.fork()
    if pid:
        os.close(mouth)
        return Child(pid, ear)
    code = 1
    try:
        os.close(ear)
        work(lambda said: os.write(mouth, f"{said}\n".encode()))
        code = 0
    except BaseException:  # noqa: BLE001  the child ends here, whatever it was
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)  # nothing of the parent's is to be closed or run here
