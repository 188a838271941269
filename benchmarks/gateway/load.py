"""The load: wrk with one thread, and a caller that times the first byte of one stream after another."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from benchmarks.recorder.calls import PLAIN, STREAMED

PATH, KEY = "/chat/completions", "sk-0123456789abcdef0123456789abcdef"
TIMEOUT = 30  # seconds that an answer may take
LUA = """
wrk.method = "POST"
wrk.path = "%(path)s"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %(key)s"
wrk.body = [[%(body)s]]
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.status + e.connect + e.read + e.write + e.timeout))
end
"""
PLAIN_BODY, STREAM_BODY = (json.dumps(asked) for asked in (PLAIN, STREAMED))


class Load(NamedTuple):
    """Answers in a second, milliseconds that the middle one and the slowest hundredth took, and what went wrong."""

    per_second: float
    p50: float
    p99: float
    errors: int


def why_not() -> str | None:
    """Why nothing can be loaded here; None where it can."""
    missing = [name for name in ("wrk", "taskset") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def load(url: str, body: str, *, connections: int, seconds: int, core: int) -> Load:
    """Whole answers over so many connections that are kept."""
    with tempfile.TemporaryDirectory(prefix="costmeter-bench-") as folder:
        script = Path(folder) / "load.lua"
        script.write_text(LUA % {"path": PATH, "key": KEY, "body": body})
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
        command += ["--timeout", f"{TIMEOUT}s", "-s", str(script), url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    requests, microseconds, p50, p99, errors = map(int, found.groups())
    return Load(requests / microseconds * 1e6, p50 / 1e3, p99 / 1e3, errors)


def post(url: str, body: str) -> int:
    """The status of one answer."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    try:
        with urlopen(Request(url + PATH, body.encode(), headers), timeout=TIMEOUT) as answer:
            answer.read()
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def first_bytes(url: str, *, streams: int) -> list[float]:
    """Microseconds until the first byte of each of so many streams, over one connection that is kept."""
    head = f"POST {PATH} HTTP/1.1\r\nhost: upstream\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(STREAM_BODY)}\r\n\r\n"
    asked = (head + STREAM_BODY).encode()
    taken = []
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(streams):
            began = time.perf_counter_ns()
            connection.sendall(asked)
            data = connection.recv(1 << 16)
            taken.append((time.perf_counter_ns() - began) / 1e3)
            assert data.startswith(b"HTTP/1.1 200"), data[:200]
            end = data[-64:]
            while not end.endswith(b"\r\n0\r\n\r\n"):
                end = (end + connection.recv(1 << 16))[-64:]
    return taken
