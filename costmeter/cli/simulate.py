"""`costmeter simulate`: a stand-in for DeepSeek on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from costmeter.simulator import Simulator

NEEDED = ("httptools", "starlette", "uvicorn")


def simulate(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 is any that is free.")] = 8080,
    start: Annotated[
        str | None,
        typer.Option(
            help="An RFC 3339 instant at which the clock stands still; without it, the clock of this machine."
        ),
    ] = None,
    currency: Annotated[str, typer.Option(help="The currency of the account: USD or CNY.")] = "USD",
    granted: Annotated[str, typer.Option(help="The granted balance to begin with.")] = "0",
    topped_up: Annotated[str, typer.Option(help="The topped-up balance to begin with.")] = "100",
    chunk_delay: Annotated[float, typer.Option(help="Seconds between the chunks of a stream.")] = 0.0,
) -> None:
    """Answer like the DeepSeek API, without a model and without a bill, until interrupted.

    Any key that begins with sk- is good. The exact books are at /_simulator/ledger; POST to /_simulator/credits pays
    in, and POST to /_simulator/clock moves a clock that was given a start.
    """
    _check_installed()
    from costmeter.core.errors import InputError
    from costmeter.simulator import BadInputError
    from costmeter.simulator.server import listen, url_of

    try:
        simulator = _simulator(start, currency, granted, topped_up, chunk_delay)
        listener = listen(host, port)
    except BadInputError as error:
        raise InputError(error.field, error.value, error.remedy) from None
    typer.echo(f"DeepSeek stand-in at {url_of(listener)} until Ctrl-C; its books: {url_of(listener)}/_simulator/ledger")
    simulator.run(listener)


def _simulator(start: str | None, currency: str, granted: str, topped_up: str, chunk_delay: float) -> Simulator:
    from costmeter.simulator import Simulator, SimulatorClock
    from costmeter.simulator.instants import parse_instant

    clock = None if start is None else SimulatorClock(parse_instant(start, "start"))
    return Simulator(clock, currency=currency, granted=granted, topped_up=topped_up, chunk_delay=chunk_delay)


def _check_installed() -> None:
    """These packages are an extra, since only those who simulate need them."""
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        from costmeter.core.errors import SetupError

        raise SetupError(f"{', '.join(missing)} not installed: run pip install 'costmeter[simulator]'")
