"""`costmeter serve`: API and pages of the service."""

from __future__ import annotations

import signal
import tempfile
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.output import print_note
from costmeter.core.errors import InputError, SetupError
from costmeter.store import api_keys
from costmeter.store.engine import reading

if TYPE_CHECKING:
    from costmeter.api.service import Service

SECONDS_TO_END = 60  # what requests get that are being answered when the server is told to end
APP = "costmeter.wiring:service_app"
GATEWAY_HTTP = "costmeter.gateway.protocol:Protocol"  # how HTTP is read where the gateway is in the process
OPTIONS: dict[str, Any] = {
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "timeout_graceful_shutdown": SECONDS_TO_END,
    "http": "httptools",
}


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)] = 8787,
    local: Annotated[
        bool, typer.Option("--local", help="Open to this machine's user without a key; loopback and SQLite only.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that share the port; PostgreSQL only.", min=1)] = 1,
) -> None:
    """Serve API and pages until stopped; calls that it records are posted within a second.

    Everything but health needs a key: costmeter keys create. On SIGTERM or Ctrl-C it answers what it has begun, posts
    what waits, and ends.
    """
    check_installed()
    if workers > 1:
        _serve_together(host, port, workers, local)
        return
    if local:
        check_local(host)
    service = wiring.open_service(local=local)
    if local and service.engine.dialect.name != "sqlite":
        raise InputError("--local", str(service.engine.dialect.name), "is for an SQLite file of one's own; use keys")
    if not local:
        with reading(service.engine) as connection:
            if not any(key.is_active(service.now()) for key in api_keys.listed(connection)):
                print_note("costmeter: there is no active key yet; make one: costmeter keys create NAME --role admin")
    run_server(service, host, port)


def run_server(service: Service, host: str, port: int) -> None:
    """Serve until told to end."""
    import uvicorn

    from costmeter import logs

    logs.configure(wiring.settings().log_level)
    end_well()
    uvicorn.run(wiring.app_of(service), host=host, port=port, **_options())


def end_well() -> None:
    """uvicorn ends in order, then raises the signal that told it to; a server that was told to end has not failed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)


def _options() -> dict[str, Any]:
    """What uvicorn is told; with the gateway in the same process the Date of an answer is DeepSeek's."""
    if wiring.settings().gateway_mount is None:
        return OPTIONS
    return {**OPTIONS, "date_header": False, "http": GATEWAY_HTTP}


def _serve_together(host: str, port: int, workers: int, local: bool) -> None:
    """Several processes on one port, each with its own poster."""
    import uvicorn

    engine = wiring.open_database()
    name = engine.dialect.name
    engine.dispose()
    if local or name == "sqlite":
        raise InputError("--workers", workers, "an SQLite file has one writer at a time; use one process")
    from costmeter.settings import share_metrics

    with tempfile.TemporaryDirectory(prefix="costmeter-metrics-") as folder:
        share_metrics(folder)
        uvicorn.run(APP, factory=True, workers=workers, host=host, port=port, **_options())


def check_local(host: str) -> None:
    from costmeter.api.peers import can_tell

    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise InputError("--host", host, "--local opens loopback only; leave --host out, or use keys instead")
    if not can_tell():
        raise SetupError("this system does not tell whose connection is whose; use keys instead of --local")


def check_installed() -> None:
    """What the service needs besides costmeter itself."""
    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client", "structlog") if find_spec(name) is None]
    if missing:
        raise SetupError(f"{', '.join(missing)} not installed: run pip install 'costmeter[server]'")
