"""Events a second over loopback, by wrk: `python -m benchmarks serving`.

One process of each server and one of wrk (one thread, 32 connections) on this machine's cores, PostgreSQL beside where
there is a store. The limit is a bare ASGI app that decodes the same bodies by msgspec and answers; the usual way is a
FastAPI route with a pydantic model. Single events and batches of 500, every one of them new.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks import databases
from benchmarks.serving.apps import APPS
from costmeter.services.create_key import NewKey, create_key
from costmeter.store.engine import open_engine

SECONDS, CONNECTIONS, BATCH = 5, 32, 500
EVENT = (
    '{"event_id":"%s","account":"account-%d","project":"search","user":"u-17","api_key":"backend-prod",'
    '"tags":{"team":"a"},"provider":"deepseek","model":"deepseek-chat","response_id":"%s","status":"ok",'
    '"started_at":"2026-11-02T09:59:51.120Z","completed_at":"2026-11-02T10:00:00Z","usage":{"prompt_tokens":563,'
    '"prompt_cache_hit_tokens":512,"prompt_cache_miss_tokens":51,"completion_tokens":116,"total_tokens":679}}'
)
# Ids as UUIDv7 are: in order of time, never the same again.
LUA = """
local count, seed = 0, string.format("%%08x", os.time())
local function id(kind)
  count = count + 1
  return string.format("%%s-%%04x-7%%03x-8%%s-%%012x", seed, math.floor(count / 65536) %% 65536, kind, "000", count)
end
local event = '%(event)s'
local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer %(key)s"}
request = function()
  local events = {}
  for n = 1, %(batch)d do
    events[n] = string.format(event, id(1), count %% %(accounts)d, id(2))
  end
  local body = '{"events":[' .. table.concat(events, ",") .. ']}'
  return wrk.format("POST", "/v1/events", headers, body)
end
done = function(summary, latency, requests)
  local e = summary.errors
  local wrong = e.status + e.connect + e.read + e.write + e.timeout
  io.write(string.format("RESULT %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(99), wrong))
end
"""


class Load(NamedTuple):
    """Requests answered in a second, microseconds of the slowest hundredth, and what went wrong."""

    per_second: float
    p99: int
    errors: int


def lines() -> Iterator[str]:
    wrk = shutil.which("wrk")
    if wrk is None:
        yield "wrk is not installed: apt-get install wrk"
        return
    with databases.postgresql_server() as server:
        url = databases.new_database(server)
        key = _key(url)
        for batch in (1, BATCH):
            yield f"{batch} event{'s' * (batch > 1)} a request, {CONNECTIONS} connections:"
            loads = {name: _load(wrk, name, url, key, batch) for name in APPS}
            limit = loads["bare"].per_second
            for name, (rate, p99, errors) in loads.items():
                figures = (
                    f"{rate:>8,.0f} requests and {rate * batch:>9,.0f} events a second, p99 {p99 / 1000:>6,.0f} ms"
                )
                yield f"  {name:<19}{figures}, {rate / limit:.2f} of the limit, {errors} errors"


def _load(wrk: str, name: str, url: str, key: str, batch: int) -> Load:
    with tempfile.TemporaryDirectory() as folder, _served(name, url) as port:
        script = Path(folder) / "load.lua"
        script.write_text(LUA % {"event": EVENT, "batch": batch, "accounts": 10, "key": key})
        command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "30s", "-s", str(script)]
        done = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    requests, microseconds, p99, errors = map(int, found.groups())
    return Load(requests / microseconds * 1e6, p99, errors)


@contextmanager
def _served(name: str, url: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "benchmarks.serving.apps", name, str(port)]
    with subprocess.Popen(command, env={**os.environ, "COSTMETER_DATABASE_URL": url}) as process:
        try:
            _wait(port)
            yield port
        finally:
            process.terminate()


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not start")


def _key(url: str) -> str:
    engine = open_engine(url)
    text = create_key(engine, NewKey("load", ["ingest"]), by="benchmark", now=datetime.now(UTC))[1]
    engine.dispose()
    return text
