"""The service's quick start in the README, run as it stands."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.api.serving import until

ROOT = Path(__file__).resolve().parents[2]


def blocks() -> list[str]:
    """The shell blocks of the README's section about the service."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## The service")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}


def test_it_works_as_it_stands(tmp_path: Path, environment: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    start, ask = (block.replace("8787", port) for block in blocks())
    waits = f"until curl -sf localhost:{port}/healthz >/dev/null; do sleep 0.1; done\n"
    separated = re.sub(r"^curl", "echo; curl", ask, flags=re.MULTILINE)
    script = f"set -eu\n{start}\ntrap 'kill %1; wait %1' EXIT\n{waits}{separated}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    recorded, credit, _, balance, report = answers
    assert recorded["accepted"] == 1
    assert credit["created"] is True
    assert balance["balance_infos"][0]["currency"] == "USD"
    assert report["totals"]["calls"] + report["totals"]["unposted"] == 1
    assert (tmp_path / "charges.csv").read_text().startswith("event_id,account,")


def test_local_needs_no_key_and_keeps_others_out(tmp_path: Path, environment: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "costmeter", "serve", "--local", "--port", str(port)]
    with subprocess.Popen(command, env=environment) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: _answers(url))
            assert httpx.get(f"{url}/v1/accounts").json() == {"data": [], "next_cursor": None}
            for headers in ({"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
                assert httpx.get(f"{url}/v1/accounts", headers=headers).status_code == 403
            if os.getuid() == 0:
                ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{url}/v1/accounts"]
                other = subprocess.run(ask, user=65534, env={}, capture_output=True, text=True, check=True)
                assert other.stdout == "403"
        finally:
            server.terminate()
            assert server.wait(30) == 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--local", "--host", "0.0.0.0"], "--host '0.0.0.0': --local opens loopback only"),
        (["--workers", "2"], "--workers 2: an SQLite file has one writer at a time"),
    ],
)
def test_what_cannot_be_served_is_refused(environment: dict[str, str], options: list[str], says: str) -> None:
    command = [sys.executable, "-m", "costmeter", "serve", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert says in done.stderr
