"""What is compared: each a process of its own, or none, on the proxy's core, before the same upstream."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.gateway.load import KEY, PLAIN_BODY, post
from benchmarks.recorder.answers import MODEL
from benchmarks.recorder.venvs import ROOT, python_of
from costmeter.recorder.shipper import LINGER

PATIENCE = 60  # seconds for a process to answer its first request, or to be done with what it still does
QUIET = 0.02  # of a core: what a process may use that has nothing to do

NGINX = """
worker_processes 1;
daemon off;
pid %(folder)s/pid;
error_log stderr crit;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path %(folder)s/body;
  proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi;
  uwsgi_temp_path %(folder)s/uwsgi;
  scgi_temp_path %(folder)s/scgi;
  upstream vendor { server %(upstream)s; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:%(port)d backlog=4096;
    location / {
      proxy_pass http://vendor;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
"""
LITELLM = """
model_list:
  - model_name: %(model)s
    litellm_params: {model: deepseek/%(model)s, api_base: "%(upstream)s", api_key: sk-benchmark}
general_settings: {master_key: %(key)s}
litellm_settings: {telemetry: false}
"""


class Command(NamedTuple):
    """How a contender is started."""

    words: list[str | Path]
    environment: Mapping[str, str] = {}


Start = Callable[[int, str, Path], Command]  # of its port, the upstream's URL, and a folder of its own


class Contender(NamedTuple):
    """A name in the table, and how it is started; None where it is called directly.

    One that is slow is given more time; one that delivers later has something to do after its turn.
    """

    name: str
    start: Start | None
    is_slow: bool = False
    delivers: bool = False


class Running(NamedTuple):
    """A contender that answers, where it is called, and its process."""

    contender: Contender
    url: str
    process: subprocess.Popen[bytes] | None

    def cpu(self) -> float:
        """Seconds of CPU that its processes used so far."""
        return 0.0 if self.process is None else _cpu_of_group(self.process.pid)

    def settle(self) -> None:
        """Waits until it has nothing more to do: what it recorded is delivered."""
        deadline = time.monotonic() + PATIENCE
        pause = 2 * LINGER if self.contender.delivers else 0.3  # records gather before they are delivered
        used = -1.0
        while self.process and (now := self.cpu()) - used > QUIET * pause and time.monotonic() < deadline:
            used = now
            time.sleep(pause)


def passing(server: str, loop: str, client: str, python: Path = Path(sys.executable)) -> Start:
    """The proxy that meters nothing, on that server and event loop and over that client."""

    def start(port: int, upstream: str, _: Path) -> Command:
        return Command([python, "-m", "benchmarks.gateway.passing", server, loop, client, str(port), upstream])

    return start


def usual(port: int, upstream: str, _: Path) -> Command:
    return Command([sys.executable, "-m", "benchmarks.gateway.usual", str(port), upstream])


def nginx(port: int, upstream: str, folder: Path) -> Command:
    """With buffering off, so that it streams. Raises OSError where it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise OSError("nginx is not installed: apt-get install nginx-light")
    written = folder / "nginx.conf"
    written.write_text(NGINX % {"folder": folder, "port": port, "upstream": upstream.removeprefix("http://")})
    return Command([program, "-c", written, "-e", "stderr"])


def litellm(port: int, upstream: str, folder: Path) -> Command:
    """One worker, no logging, the prices that it brings. Raises CalledProcessError where it cannot be installed."""
    program = python_of("litellm_proxy").with_name("litellm")
    written = folder / "litellm.yaml"
    written.write_text(LITELLM % {"model": MODEL, "upstream": upstream, "key": KEY})
    words: list[str | Path] = [program, "--config", written, "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "CRITICAL", "HOME": str(folder)}
    return Command([*words, "--num_workers", "1"], quiet)


def unmetered(port: int, upstream: str, _: Path) -> Command:
    return Command([sys.executable, "-m", "benchmarks.gateway.unmetered", str(port), upstream])


def gateway(database: str) -> Start:
    """The product, which delivers to that database and posts there."""

    def start(port: int, upstream: str, folder: Path) -> Command:
        settings = {"COSTMETER_DATABASE_URL": database, "COSTMETER_SPOOL_DIR": str(folder / "spool")}
        command: list[str | Path] = [sys.executable, "-m", "costmeter", "gateway"]
        return Command([*command, "--port", str(port), "--upstream", upstream], settings)

    return start


@contextmanager
def running(contender: Contender, upstream: str, folder: Path, *, core: int) -> Iterator[Running]:
    """The contender, once it answers. Raises OSError or CalledProcessError where it cannot be started."""
    if contender.start is None:
        yield Running(contender, upstream, None)
        return
    folder.mkdir()
    port = _free_port()
    words, environment = contender.start(port, upstream, folder)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *words], cwd=ROOT, env={**os.environ, **environment},
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(f"http://127.0.0.1:{port}", process, folder / "output")
        yield Running(contender, f"http://127.0.0.1:{port}", process)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if post(url, PLAIN_BODY) == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise OSError(f"it does not answer: {output.read_text(errors='replace')[-500:]}")


def _cpu_of_group(group: int) -> float:
    """Of all processes of a group that live, and of their children that ended."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[2]) == group:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
