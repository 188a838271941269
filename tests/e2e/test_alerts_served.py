"""`costmeter serve` tells within moments of a commit, ends in order, and shows no secret even where it logs all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.alerts.messages import deliveries, raise_notices
from tests.alerts.receivers import Handler, Hook, free_port
from tests.jobs.schedules import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwVvx0Yy3kXqE="
PASSWORD = "correct-horse-battery-staple"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook().served() as served:
        yield served


@pytest.fixture
def channels(hook: Hook, tmp_path: Path) -> Path:
    """A hook that listens, a chat at the same place, and a mail server that is not there."""
    for name, text in (("secret", SECRET), ("password", PASSWORD), ("chat", hook.url.replace("http:", "json:"))):
        (tmp_path / name).write_text(text, encoding="utf-8")
    file = tmp_path / "channels.toml"
    mail = f'kind = "mail"\nurl = "smtp://me@127.0.0.1:{free_port()}"\npassword_file = "password"'
    file.write_text(
        f'[ops]\nkind = "webhook"\nurl = "{hook.url}"\nsecret_file = "secret"\n'
        f'[mail]\n{mail}\nfrom = "a@example.com"\nto = ["b@example.com"]\n'
        '[chat]\nkind = "apprise"\nurl_file = "chat"\n',
        encoding="utf-8",
    )
    return file


@pytest.fixture
def serve(database_url: str, channels: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the service; what it writes is in a file."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        port = free_port()
        environment = {**os.environ, "COSTMETER_DATABASE_URL": database_url, "COSTMETER_CHANNELS": str(channels)}
        environment |= {"COSTMETER_LOG_LEVEL": "debug", "COSTMETER_URL": "https://costmeter.example"}
        environment["COSTMETER_WATCH_CALENDAR_DAYS"] = "0"  # the built-in one ends one day, which is an alert
        with (tmp_path / "log").open("ab") as out:
            command = [sys.executable, "-m", "costmeter", "serve", "--port", str(port)]
            started.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
        wait_until(lambda: _listens(port), "it listens")
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def states(engine: Engine) -> dict[str, str]:
    return {row["channel"]: row["state"] for row in deliveries(engine)}


def test_a_notice_is_told_while_serving_and_no_secret_is_logged(
    engine: Engine, hook: Hook, serve: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = serve()
    hook.answers = [500, 503, 204]
    (notice_id,) = raise_notices(engine, "one")
    told = {"ops": "accepted", "chat": "accepted", "mail": "waiting"}
    wait_until(lambda: states(engine) == told and deliveries(engine)[1]["error"], "all but the mail was accepted")
    assert notice_id in {post.headers.get("webhook-id") for post in hook.posts}
    assert "cannot be reached: Connection refused" in deliveries(engine)[1]["error"]
    process.terminate()
    assert process.wait(60) == 0
    logged = (tmp_path / "log").read_text(encoding="utf-8")
    assert f"notice {notice_id} is not told through mail yet" in logged
    for secret in (SECRET, SECRET.removeprefix("whsec_"), PASSWORD, "token-of-the-hook"):
        assert secret not in logged
        assert secret not in str(deliveries(engine))


def test_a_server_that_is_told_to_end_lets_what_it_sends_arrive(
    engine: Engine, hook: Hook, serve: Callable[[], subprocess.Popen[bytes]]
) -> None:
    came, go_on = threading.Event(), threading.Event()

    def slowly(handler: Handler) -> None:
        came.set()
        go_on.wait(30)
        handler.answer(204)

    hook.answers = [slowly, 204]
    process = serve()
    raise_notices(engine, "one", channels=["ops"])
    assert came.wait(60)
    process.terminate()
    go_on.set()
    assert process.wait(60) == 0
    assert states(engine) == {"ops": "accepted"}
