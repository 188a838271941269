"""`costmeter simulate`: a stand-in for DeepSeek on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

NEEDED = ("httptools", "starlette", "uvicorn")

LISTENING = """\
DeepSeek stand-in at {url} until Ctrl-C; its books: {url}/_simulator/ledger
  chat, responses     OpenAI(base_url="{url}", api_key="sk-any")
  FIM completions     OpenAI(base_url="{url}/beta", api_key="sk-any")
  Anthropic's format  Anthropic(base_url="{url}/anthropic", api_key="sk-any")
  faults              {url}/_simulator/faults, or the header x-simulator-fault of one call"""

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port to listen on; 0 is any that is free.")]
Start = Annotated[
    str | None,
    typer.Option(help="An RFC 3339 instant at which the clock stands still; without it, the clock of this machine."),
]
Currency = Annotated[str, typer.Option(help="The currency of the account: USD or CNY.")]
Granted = Annotated[str, typer.Option(help="The granted balance to begin with.")]
ToppedUp = Annotated[str, typer.Option(help="The topped-up balance to begin with.")]
ChunkDelay = Annotated[float, typer.Option(help="Seconds between the chunks of a stream.")]
AnswerTime = Annotated[
    float, typer.Option(help="Seconds that an answer takes; with --start they pass on that clock, and nobody waits.")
]
KeepAlive = Annotated[
    float, typer.Option(help="Seconds between the empty lines, or a stream's comments, that a waiting client is sent.")
]
TrailingUsage = Annotated[
    bool, typer.Option("--trailing-usage", help="Stream the usage in a last chunk of its own, without choices.")
]
Faults = Annotated[str, typer.Option(help="Faults by chance, each with its rate: 429:0.01,reset;after=3:0.02")]
FaultSeed = Annotated[int, typer.Option(help="The same seed and order of calls bring the same faults.")]


def simulate(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    start: Start = None,
    currency: Currency = "USD",
    granted: Granted = "0",
    topped_up: ToppedUp = "100",
    chunk_delay: ChunkDelay = 0.0,
    answer_time: AnswerTime = 0.0,
    keep_alive: KeepAlive = 1.0,
    trailing_usage: TrailingUsage = False,
    faults: Faults = "",
    fault_seed: FaultSeed = 0,
) -> None:
    """Answer like the DeepSeek API, without a model and without a bill, until interrupted.

    Chat completions, FIM completions, the responses API and Anthropic's format, streamed or not, are billed into one
    ledger. Any key that begins with sk- is good. The exact books are at /_simulator/ledger; POST to
    /_simulator/credits pays in, and POST to /_simulator/clock moves a clock that was given a start.

    Faults: 400, 401, 402, 422, 429;retry_after=1, 500, 502, 503 and silent refuse a call, which is then not billed.
    reset, stall;seconds=1, truncate, garbage;noise=bit (or whole) and no_usage spoil an answer, which is billed.
    after=3 lets three chunks through; before_head (of reset and stall) not even the head.

    They come by chance (--faults), to a call with a header such as x-simulator-fault: reset;after=3, or to the next
    calls by POST to /_simulator/faults of {"kind": "reset", "after_chunks": 3, "count": 5}. GET there counts all
    calls by what happened to them.
    """
    _check_installed()
    from costmeter.core.errors import InputError
    from costmeter.simulator import BadInputError, Simulator, SimulatorClock
    from costmeter.simulator.fault_plan import parse_rates
    from costmeter.simulator.instants import parse_instant, parse_seconds
    from costmeter.simulator.server import listen, url_of

    try:
        simulator = Simulator(
            None if start is None else SimulatorClock(parse_instant(start, "start")),
            currency=currency,
            granted=granted,
            topped_up=topped_up,
            chunk_delay=chunk_delay,
            answer_time=parse_seconds(answer_time, "answer_time"),
            keep_alive=keep_alive,
            trailing_usage=trailing_usage,
            faults=parse_rates(faults),
            fault_seed=fault_seed,
        )
        listener = listen(host, port)
    except BadInputError as error:
        raise InputError(error.field, error.value, error.remedy) from None
    typer.echo(LISTENING.format(url=url_of(listener)))
    simulator.run(listener)


def _check_installed() -> None:
    """These packages are an extra, since only those who simulate need them."""
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        from costmeter.core.errors import SetupError

        raise SetupError(f"{', '.join(missing)} not installed: run pip install 'costmeter[simulator]'")
