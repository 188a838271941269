"""The gateway as a process of its own, as the README starts it, and under a path of the service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from costmeter.simulator import Simulator
from tests.api.serving import until
from tests.cli.running import Run

ROOT = Path(__file__).resolve().parents[2]
ASKED = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}]}
KEY = {"authorization": "Bearer sk-served-0123456789"}


@contextmanager
def process(*arguments: str, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A command that serves, and where; it is told to end at the end, and must end well."""
    environment = {**os.environ, **{f"COSTMETER_{name}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "costmeter", *arguments, "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        said = ""
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)", said.replace("passing on to http", ""))) is None:
            line = started.stderr.readline()
            assert line, said
            said += line if "Uvicorn running" in line else ""
        try:
            yield f"http://127.0.0.1:{found[1]}", started
        finally:
            started.terminate()
            rest = started.stderr.read()
            assert started.wait(60) == 0, rest


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path, simulator: Simulator) -> dict[str, str]:
    return {
        "DATABASE_URL": sqlite_url,
        "SPOOL_DIR": str(tmp_path / "spool"),
        "GATEWAY_UPSTREAM": simulator.base_url,
        "WATCH_CALENDAR_DAYS": "0",
    }


def calls(run: Run) -> list[dict[str, object]]:
    """What the books say of the project's calls."""
    rows: list[dict[str, object]] = run(
        "report", "--from", "2026-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z", "--by", "project", "--json"
    ).json["rows"]
    return rows


def test_the_readmes_call_is_in_the_books_when_the_gateway_has_ended(
    run: Run, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("the gateway\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    with process("gateway", **settings) as (url, _):
        script = block.replace("localhost:8788", url.removeprefix("http://"))
        environment = {**os.environ, "DEEPSEEK_API_KEY": "sk-readme-0123456789"}
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
        assert '"usage"' in done.stdout
    monkeypatch.setenv("COSTMETER_DATABASE_URL", settings["DATABASE_URL"])
    (row,) = calls(run)
    assert (row["project"], row["calls"]) == ("search", 1)


def test_serve_is_the_gateway_too_under_a_path(
    run: Run, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with process("serve", GATEWAY_MOUNT="/deepseek", **settings) as (url, _):
        asked = httpx.post(f"{url}/deepseek/chat/completions", json=ASKED, headers={**KEY, "x-costmeter-project": "p"})
        assert asked.status_code == 200
        assert len(asked.headers.get_list("date")) == 1
        assert httpx.get(f"{url}/deepseek/models", headers=KEY).json()["object"] == "list"
        own = httpx.get(f"{url}/healthz")
        assert own.json() == {"status": "ok"}
        assert len(own.headers.get_list("date")) == 1
        assert httpx.get(f"{url}/deepseekx/models", headers=KEY).headers["content-type"] == "application/problem+json"
        monkeypatch.setenv("COSTMETER_DATABASE_URL", settings["DATABASE_URL"])
        (row,) = until(lambda: [row for row in calls(run) if row["calls"]])
        assert (row["project"], row["calls"]) == ("p", 1)


def test_a_path_that_is_none_is_refused(run: Run, settings: dict[str, str]) -> None:
    environment = {**os.environ, **{f"COSTMETER_{name}": value for name, value in settings.items()}}
    environment["COSTMETER_GATEWAY_MOUNT"] = "deepseek/"
    command = [sys.executable, "-m", "costmeter", "serve", "--port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "COSTMETER_GATEWAY_MOUNT 'deepseek/': write a path such as /deepseek" in done.stderr
