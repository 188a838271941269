"""The spool at forks and at the end: of a program, and of a worker process."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENDED = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r})\nfrom tests.recorder.spooling import ended\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_empty_with_a_thread_of_its_own(tmp_path: Path) -> None:
    """In a process of its own, since a fork beside the threads of other tests is no test of the spool."""
    script = tmp_path / "forks.py"
    script.write_text(
        ENDED
        + """
import os, sys, time
from pathlib import Path
from costmeter.recorder.spool import Spool
out = Path(sys.argv[1])
opened = []
def deliver(records):
    if not (out / "go").exists():
        raise ConnectionError
    with (out / str(os.getpid())).open("a") as file:
        file.writelines(f"{record['event_id']}\\n" for record in records)
spool = Spool(deliver)
spool.append(ended("1"))
time.sleep(0.1)
child = os.fork()
if child == 0:
    assert spool.counts.recorded == 0
    spool.append(ended("2"))
    (out / "go").touch()
    assert spool.flush(10)
    assert spool.counts.delivered == 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
spool.append(ended("3"))
assert spool.flush(10)
print(os.getpid(), child)
""",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", script, tmp_path], capture_output=True, text=True, check=False
    )

    parent, child = done.stdout.split()
    assert (tmp_path / child).read_text() == "2\n"
    assert (tmp_path / parent).read_text() == "1\n3\n"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ENDED + script, *arguments], capture_output=True, text=True, check=True
    )


def test_the_end_of_the_program_waits_for_the_last_records(tmp_path: Path) -> None:
    script = """
import sys, time
from costmeter.recorder import spools
from costmeter.recorder.spool import Spool
def deliver(records):
    time.sleep(0.3)
    open(sys.argv[1], "a").write("%d\\n" % len(records))
spool = Spool(deliver)
spool.append(ended("1"))
"""
    run(script, str(tmp_path / "kept"))

    assert (tmp_path / "kept").read_text() == "1\n"


def test_the_end_of_the_program_says_what_it_loses() -> None:
    script = """
from costmeter.recorder import spools
from costmeter.recorder.spool import Spool
spools.EXIT_PATIENCE = 0.2
def deliver(records):
    raise ConnectionError("away")
spool = Spool(deliver)
spool.append(ended("1"))
"""
    said = run(script).stderr
    assert "1 records were not delivered" in said
    assert "1 calls recorded: 0 delivered, 1 waiting, 0 dropped" in said


WORKER = """
import multiprocessing, sys
from pathlib import Path
from costmeter.recorder.spool import Spool
def deliver(records):
    with open(sys.argv[1], "a") as file:
        file.writelines(f"{record['event_id']}\\n" for record in records)
def work():
    spool = Spool(deliver)
    spool.append(ended("1"))
    spool.append(ended("2"))
if __name__ == "__main__":
    worker = multiprocessing.get_context(sys.argv[2]).Process(target=work)
    worker.start()
    worker.join()
    sys.exit(worker.exitcode)
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_the_end_of_a_worker_process_waits_for_the_last_records(tmp_path: Path, method: str) -> None:
    script = tmp_path / "worker.py"
    script.write_text(ENDED + WORKER, encoding="utf-8")
    subprocess.run([sys.executable, script, tmp_path / "kept", method], check=True)

    assert (tmp_path / "kept").read_text() == "1\n2\n"
