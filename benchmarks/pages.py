"""How long the server takes for each page with ten million calls behind it: `python -m benchmarks pages`.

PostgreSQL holds a month of calls of one account, of a hundred projects and two models; one process of `costmeter serve`
answers one reader, over loopback, to the last byte. The limit is the one that the pages have set themselves. Then calls
are recorded one after the other, and the page is asked for when the stream says that something was posted, as its
script does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from uuid import UUID

import httpx

from benchmarks import databases
from benchmarks.growth.fill import ACCOUNT, fill
from benchmarks.posting import give_credits
from costmeter.core.access import ADMIN
from costmeter.core.periods import format_instant
from costmeter.services.create_key import NewKey, create_key
from costmeter.store.engine import open_engine

CALLS, PROJECTS = 10_000_000, 100
TURNS, NEW = 15, 40
LIMIT, LIMIT_LIVE = 300, 2_000  # milliseconds
_OWN = f"account={ACCOUNT}"
PAGES = {
    "overview": f"/?{_OWN}&day=2025-03-20",
    "overview, by project": f"/?{_OWN}&day=2025-03-20&by=project",
    "explore, projects and models": f"/explore?{_OWN}&month=2025-03&by=project,model",
    "explore, days and models": f"/explore?{_OWN}&month=2025-03&by=day,model",
    "explore, hours of a week": f"/explore?{_OWN}&from=2025-03-10&to=2025-03-16&by=hour,model",
    "calls": f"/calls?{_OWN}&month=2025-03",
    "call": f"/calls/{UUID(int=1_000)}?{_OWN}",
    "balance": f"/balance?{_OWN}&from=2025-03-01&to=2025-03-31&month=2025-03",
    "statements": f"/statements?{_OWN}",
    "statement": f"/statements/{ACCOUNT}/2025-03",
    "closing": f"/statements/{ACCOUNT}/2025-03/close",
    "budgets": f"/budgets?{_OWN}",
    "alerts": f"/alerts?{_OWN}",
    "prices": f"/prices?{_OWN}",
    "operations": "/operations",
    "quarantine": "/quarantine",
    "jobs": "/jobs",
    "keys": "/keys",
    "audit": "/audit",
}


def lines(calls: int = CALLS) -> Iterator[str]:
    with databases.postgresql_server() as server:
        url = databases.new_database(server)
        give_credits(url, 1)
        began = time.perf_counter()
        fill(url, calls, projects=PROJECTS)
        yield f"{calls:,} calls stored, filled in {time.perf_counter() - began:,.0f} s"
        key = _key(url)
        with _served(url) as address, httpx.Client(base_url=address, timeout=600) as client:
            _sign_in(client, key)
            yield f"{'page':<30}{'first':>9}{'p50':>9}{'p95':>9}  of {LIMIT} ms"
            for name, path in PAGES.items():
                first, *taken = (_milliseconds(client, path) for _ in range(TURNS + 1))
                p50, p95 = median(taken), quantiles(taken, n=20)[-1]
                yield f"{name:<30}{first:>6,.0f} ms{p50:>6,.0f} ms{p95:>6,.0f} ms  {p50 / LIMIT:.2f}"
            taken = [_until_seen(client, key, number) for number in range(NEW)]
            p50, p95 = median(taken), quantiles(taken, n=20)[-1]
            yield (
                f"from a call's recording to the page that tells of it: p50 {p50:,.0f} ms, p95 {p95:,.0f} ms, "
                f"{p95 / LIMIT_LIVE:.2f} of {LIMIT_LIVE:,} ms"
            )


@contextmanager
def _served(url: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        own = {
            **os.environ,
            "COSTMETER_DATABASE_URL": url,
            "COSTMETER_SPOOL_DIR": folder,
            "COSTMETER_LOG_LEVEL": "warning",
        }
        with subprocess.Popen([sys.executable, "-m", "costmeter", "serve", "--port", str(port)], env=own) as process:
            try:
                _wait(address)
                yield address
            finally:
                process.terminate()


def _wait(address: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the service did not start")


def _milliseconds(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    answer = client.get(path)
    taken = (time.perf_counter() - began) * 1e3
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:2000]}"
    return taken


def _until_seen(client: httpx.Client, key: str, number: int) -> float:
    """Milliseconds from a call's recording until its page is there: the stream's word, and the page after it."""
    page = f"/?account={ACCOUNT}"
    mark = client.get(page).text.split('data-mark="', 1)[1].split('"', 1)[0]
    completed_at = format_instant(datetime.now(UTC) - timedelta(seconds=1))
    event = {
        "event_id": f"new-{number}",
        "account": ACCOUNT,
        "model": "deepseek-flash",
        "completed_at": completed_at,
        "usage": {"prompt_tokens": 563, "completion_tokens": 116, "total_tokens": 679},
    }
    with client.stream("GET", "/live", params={"seen": mark}) as stream:
        told = stream.iter_lines()
        next(told)
        sent = httpx.post(f"{client.base_url}/v1/events", json=event, headers={"Authorization": f"Bearer {key}"})
        assert sent.status_code == 200, sent.text
        began = time.perf_counter()
        assert any(line == "event: posted" for line in told)
        assert f"new-{number}" in client.get(page).text
        return (time.perf_counter() - began) * 1e3


def _sign_in(client: httpx.Client, key: str) -> None:
    form = client.get("/sign-in").text.split('name="form" value="', 1)[1].split('"', 1)[0]
    answer = client.post(
        "/sign-in", data={"form": form, "key": key, "next": "/"}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 303, answer.text


def _key(url: str) -> str:
    engine = open_engine(url)
    text = create_key(engine, NewKey("reader", [ADMIN]), by="benchmark", now=datetime.now(UTC))[1]
    engine.dispose()
    return text
