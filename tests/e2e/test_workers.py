"""Where programs really run: gunicorn and Celery workers, spawned and forked processes, all on one spool folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from costmeter.simulator import Simulator
from tests.cli.running import Run
from tests.e2e.running import run_program

CLIENT = """
import os, sys
from openai import OpenAI
import costmeter
options = {"max_retries": 0, "default_headers": {"connection": "close"}}  # a fork must not share connections
client = costmeter.wrap(OpenAI(api_key="sk-0123456789abcdef0123", base_url=os.environ["BASE_URL"], **options))
def ask(number):
    with costmeter.attribute(user=str(number), tags={"process": str(os.getpid())}):
        question = {"model": "deepseek-flash", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
        return client.chat.completions.create(**question).id
"""
GUNICORN = (
    CLIENT
    + """
ask("preload")
def application(environ, start_response):
    answer = f"{os.getpid()} {ask(environ['PATH_INFO'].strip('/'))}".encode()
    start_response("200 OK", [("content-length", str(len(answer)))])
    return [answer]
"""
)
CELERY = (
    CLIENT
    + """
from celery import Celery
app = Celery("tasks", broker="filesystem://")
folder = os.environ["BROKER"]
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder}
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
app.task(name="ask")(ask)
"""
)


@pytest.fixture
def books(sqlite_url: str, tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of the workers, whose database and spool the commands of this process use, too."""
    settings = {"COSTMETER_DATABASE_URL": sqlite_url, "COSTMETER_SPOOL_DIR": str(tmp_path / "spool")}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COSTMETER_")}
    return {**inherited, **settings, "BASE_URL": simulator.base_url, "PYTHONPATH": str(tmp_path)}


def recorded(run: Run) -> dict[str, int]:
    """How many calls of each user are in the books."""
    now = datetime.now(UTC)
    between = ["--from", (now - timedelta(hours=1)).isoformat(), "--to", (now + timedelta(hours=1)).isoformat()]
    rows = run("report", *between, "--by", "user", "--json").json["rows"]
    return {row["user"]: row["calls"] for row in rows}


@contextmanager
def process(*arguments: str, environment: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = (folder / "log").open("wb")
    with log, subprocess.Popen(arguments, env=environment, cwd=folder, stdout=log, stderr=log) as running:
        try:
            yield running
        finally:
            running.kill()


def until(is_so: Callable[[], Any], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_gunicorn_workers_that_were_forked_after_a_call_and_one_that_is_killed(
    run: Run, books: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "web.py").write_text(GUNICORN)
    port = free_port()
    serve = (sys.executable, "-m", "gunicorn", "--preload", "--workers=2", f"--bind=127.0.0.1:{port}", "web")
    with process(*serve, environment=books, folder=tmp_path) as gunicorn:

        def get(number: int) -> str | None:
            try:
                return httpx2.get(f"http://127.0.0.1:{port}/{number}", timeout=30).text.split()[0]
            except httpx2.TransportError:
                return None

        until(lambda: get(0), tmp_path)
        workers = [get(number) for number in range(1, 10)]
        os.kill(int(workers[-1] or 0), signal.SIGKILL)
        until(lambda: get(10), tmp_path)
        gunicorn.send_signal(signal.SIGTERM)
        assert gunicorn.wait(30) == 0
    run("flush")

    found = recorded(run)
    assert found.pop("preload") == 1  # by the parent; no child sent it again
    assert set(found) == {str(number) for number in range(11)}
    assert all(found[str(number)] == 1 for number in range(1, 10))


def test_celery_workers(run: Run, books: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(CELERY)
    books["BROKER"] = str(tmp_path / "broker")
    (tmp_path / "broker").mkdir()
    send = "import tasks\nfor number in range(12): tasks.app.send_task('ask', [number])"
    subprocess.run([sys.executable, "-c", send], env=books, check=True, cwd=tmp_path)
    worker = (sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool=prefork", "--concurrency=2")
    with process(*worker, environment=books, folder=tmp_path) as celery:
        until(lambda: sum(recorded(run).values()) == 12, tmp_path)
        celery.send_signal(signal.SIGTERM)
        assert celery.wait(30) == 0
    run("flush")

    assert recorded(run) == {str(number): 1 for number in range(12)}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_beside_calls_of_the_parent(
    run: Run, books: dict[str, str], tmp_path: Path, method: str
) -> None:
    (tmp_path / "program.py").write_text(
        CLIENT
        + f"""
import multiprocessing
if __name__ == "__main__":
    ask("before")
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=ask, args=(number,)) for number in range(3)]
    for child in children: child.start()
    ask("beside")
    for child in children: child.join()
    sys.exit(sum(child.exitcode for child in children))
"""
    )
    subprocess.run([sys.executable, "program.py"], env=books, check=True, cwd=tmp_path)

    assert recorded(run) == {"before": 1, "beside": 1, "0": 1, "1": 1, "2": 1}
    assert run("flush", "--json").json == {"delivered": 0}


def test_a_killed_program_loses_no_call_that_returned(
    run: Run, books: dict[str, str], tmp_path: Path, simulator: Simulator
) -> None:
    """The database cannot be reached while it lives: all is in the spool."""
    program = CLIENT + "for number in range(5): print(ask(number))\nos.kill(os.getpid(), 9)"
    database = Path(books["COSTMETER_DATABASE_URL"].removeprefix("sqlite:///"))
    aside = database.with_suffix(".aside")
    database.rename(aside)
    database.mkdir()
    ran = run_program(
        f"import os\nos.environ['BASE_URL'] = {simulator.base_url!r}\n{program}",
        folder=tmp_path,
        DATABASE_URL=books["COSTMETER_DATABASE_URL"],
        SPOOL_DIR=books["COSTMETER_SPOOL_DIR"],
    )
    assert ran.code == -signal.SIGKILL
    database.rmdir()
    aside.rename(database)

    assert run("flush", "--json").json == {"delivered": 5}
    assert recorded(run) == {str(number): 1 for number in range(5)}
