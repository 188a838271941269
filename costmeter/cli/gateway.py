"""`costmeter gateway`: DeepSeek's API for callers in any language, metered."""

from __future__ import annotations

import resource
import tempfile
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.output import print_note
from costmeter.cli.serve import GATEWAY_HTTP, end_well
from costmeter.core.errors import SetupError
from costmeter.gateway.vendor_keys import read_vendor_keys
from costmeter.settings import share_metrics, share_upstream

APP = "costmeter.wiring:gateway_app"
OPTIONS: dict[str, Any] = {
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "date_header": False,  # DeepSeek's own goes on
    "proxy_headers": False,
    "ws": "none",
    "http": GATEWAY_HTTP,
    "timeout_keep_alive": 75,  # longer than callers keep a connection that they do not use
}


def gateway(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)] = 8788,
    upstream: Annotated[
        str | None, typer.Option(metavar="URL", help="Where requests go; default: COSTMETER_GATEWAY_UPSTREAM.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that share the port.", min=1)] = 1,
) -> None:
    """Pass DeepSeek's API on, byte for byte, and record every call.

    Callers set their base URL to this address. On SIGTERM or Ctrl-C it finishes the answers that are on their way,
    delivers and posts what it has recorded, and ends.
    """
    check_installed()
    import uvicorn

    from costmeter import logs

    said = wiring.settings()
    options = {**OPTIONS, "host": host, "port": port, "timeout_graceful_shutdown": said.gateway_stop_seconds}
    print_note(f"costmeter: passing on to {upstream or said.gateway_upstream}; {describe_keys()}")
    open_many_files()
    if workers > 1:
        if upstream is not None:
            share_upstream(upstream)
        with tempfile.TemporaryDirectory(prefix="costmeter-metrics-") as folder:
            share_metrics(folder)
            uvicorn.run(APP, factory=True, workers=workers, **options)
        return
    logs.configure(said.log_level)
    end_well()
    uvicorn.run(wiring.open_gateway(upstream), **options)


def describe_keys() -> str:
    """Which keys its callers send, and whose of DeepSeek's there are; never a key."""
    said = wiring.settings()
    vendor = read_vendor_keys(said)
    if vendor is None:
        return "callers send keys of DeepSeek's"
    does = "known ones go on" if said.gateway_database_away == "open" else "none goes on"
    return f"callers send keys of costmeter's ({does} while the database is away); vendor keys: {vendor.described()}"


def open_many_files() -> None:
    """As many as the system lets this process open: a call takes two, and the usual bound is reached by 500 of them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def check_installed() -> None:
    """What the gateway needs besides costmeter itself."""
    needed = ("aiohttp", "httptools", "prometheus_client", "structlog", "uvicorn")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise SetupError(f"{', '.join(missing)} not installed: run pip install 'costmeter[gateway]'")
