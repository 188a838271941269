"""A service, a gateway and the Prometheus that scrapes both: processes of their own, with real calls."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from costmeter import wiring
from costmeter.core.periods import format_instant
from costmeter.services.create_key import NewKey, create_key
from costmeter.simulator import Simulator
from tests.api.serving import until
from tests.api.spanning import a_request, a_span
from tests.conftest import missing
from tests.dashboards.boards import DASHBOARDS
from tests.make import an_event

KEY = {"authorization": "Bearer sk-dashboards-0123456789"}
ASKED = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello " * 50}], "max_tokens": 200}
BODY_LIMIT = 4096


def program(name: str) -> str:
    """Where Prometheus or its tool is."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed; it is in the package prometheus")
    return str(found)


@contextmanager
def process(command: Sequence[str], health: str, log: Path, **settings: str) -> Iterator[str]:
    """The base URL of a process that listens at `PORT` of its command; it must end well when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    asked = [part.replace("ADDRESS", address).replace("PORT", str(port)) for part in command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTMETER_")}
    environment |= {f"COSTMETER_{name}": value for name, value in settings.items()}
    with log.open("wb") as said, subprocess.Popen(asked, env=environment, stdout=said, stderr=said) as started:
        try:
            with httpx.Client() as client:
                while not _answers(client, f"http://{address}{health}"):
                    assert started.poll() is None, log.read_text(encoding="utf-8")
                    time.sleep(0.1)
            yield f"http://{address}"
        finally:
            started.terminate()
            code = started.wait(60)
    assert code == 0, log.read_text(encoding="utf-8")


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.HTTPError:
        return False


class Site:
    """What runs, and where."""

    def __init__(self, service: str, gateway: str, prometheus: str, key: str) -> None:
        self.service, self.gateway = service, gateway
        self._prometheus = httpx.Client(base_url=prometheus, timeout=30)
        self.api = {"authorization": f"Bearer {key}"}

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression as Prometheus has them now."""
        answer = self._prometheus.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def get(self, path: str, **parameters: str) -> Any:
        return self._prometheus.get(f"/api/v1/{path}", params=parameters).json()["data"]

    def close(self) -> None:
        self._prometheus.close()

    def figures(self) -> str:
        """All that the service and the gateway expose."""
        own = httpx.get(f"{self.service}/metrics", headers=self.api)
        return own.raise_for_status().text + httpx.get(f"{self.gateway}/metrics").raise_for_status().text


@contextmanager
def running(url: str, folder: Path) -> Iterator[Site]:
    """All of it, with one call at least of each kind that the dashboards tell apart; no scheduler, but its jobs ran."""
    engine = wiring.open_database(url)
    now = datetime.now(UTC)
    key = create_key(engine, NewKey("prometheus", ("admin",)), by="root", now=now)[1]
    (folder / "costmeter.key").write_text(key, encoding="utf-8")
    wiring.open_scheduler(engine).run_once()
    engine.dispose()
    own = [sys.executable, "-m", "costmeter"]
    with ExitStack() as stack:
        vendor = stack.enter_context(Simulator(topped_up="1000"))
        settings = {"DATABASE_URL": url, "SPOOL_DIR": str(folder / "spool"), "GATEWAY_UPSTREAM": vendor.base_url}
        settings |= {"GATEWAY_BODY_LIMIT": str(BODY_LIMIT)}
        start = [*own, "serve", "--port", "PORT"]
        service = stack.enter_context(process(start, "/readyz", folder / "serve.log", **settings))
        start = [*own, "gateway", "--port", "PORT"]
        gateway = stack.enter_context(process(start, "/healthz", folder / "gateway.log", **settings))
        configure(folder, service, gateway)
        start = [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}", "--web.listen-address=ADDRESS"]
        start += [f"--storage.tsdb.path={folder / 'series'}"]
        prometheus = stack.enter_context(process(start, "/-/ready", folder / "prometheus.log"))
        site = stack.enter_context(closing(Site(service, gateway, prometheus, key)))
        use(site)
        until(lambda: site.ask("costmeter_gateway_broken_total and on () costmeter_spans_ignored_total"))
        use(site)  # once more, so that Prometheus has seen each figure grow
        yield site


def configure(folder: Path, service: str, gateway: str) -> None:
    """The example of the dashboards with the targets and the pace of a test, and the rules as they are."""
    yaml = YAML(typ="safe")
    said = yaml.load(DASHBOARDS / "prometheus" / "prometheus.yml")
    said["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    said["rule_files"] = [str(DASHBOARDS / "prometheus" / name) for name in said["rule_files"]]
    scraped = {one["job_name"]: one for one in said["scrape_configs"]}
    scraped["costmeter"]["authorization"]["credentials_file"] = str(folder / "costmeter.key")
    for name, url in (("costmeter", service), ("costmeter-gateway", gateway)):
        scraped[name]["static_configs"] = [{"targets": [url.removeprefix("http://")]}]
    with (folder / "prometheus.yml").open("w", encoding="utf-8") as file:
        yaml.dump(said, file)


def use(site: Site) -> None:
    """A call of each kind: recorded well and not; passed on, refused, left, and broken off."""
    now = format_instant(datetime.now(UTC))
    with httpx.Client(base_url=site.service, headers=site.api, timeout=30) as client:
        for body in (an_event("a", now), an_event("a", now), an_event("a", now, output=5), an_event("b", "yesterday")):
            client.post("/v1/events", json=body)
        client.post("/v1/traces", json=a_request(a_span({"server.address": "llm.corp.example"})))
    with httpx.Client(base_url=site.gateway, headers=KEY, timeout=30) as client:
        assert client.post("/chat/completions", json=ASKED).is_success
        assert client.post("/chat/completions", json={**ASKED, "model": "m" * BODY_LIMIT}).status_code == 413
        streamed = {**ASKED, "stream": True}
        with suppress(httpx.RemoteProtocolError):
            client.post("/chat/completions", json=streamed, headers={"x-simulator-fault": "truncate; after=2"})
        stalled = {"x-simulator-fault": "stall; after=2; seconds=60"}
        with client.stream("POST", "/chat/completions", json=streamed, headers=stalled) as answer:
            next(answer.iter_lines())
