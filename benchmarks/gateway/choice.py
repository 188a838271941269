"""Which server and which client a gateway is best made of: `python -m benchmarks proxying`.

The same proxy that passes everything on and meters nothing, over each client on each server (`passing.py`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from benchmarks.gateway import load, table, upstream
from benchmarks.gateway.contenders import Contender, nginx, passing
from benchmarks.gateway.passing import UNWATCHED
from benchmarks.gateway.rounds import FIRST, PACED, PACED_FAST, PLAIN, STREAMS, measure
from benchmarks.recorder.venvs import python_of

ROUNDS = 3
CHOSEN = "uvicorn on uvloop, aiohttp"


def lines() -> Iterator[str]:
    why_not = load.why_not() or upstream.why_not()
    if why_not is not None:
        yield why_not
        return
    contenders = [
        Contender("direct", None),
        Contender("nginx, buffering off", nginx),
        Contender(CHOSEN, passing("uvicorn", "uvloop", "aiohttp")),
        Contender("  without a watch", passing("uvicorn", "uvloop", f"aiohttp{UNWATCHED}")),
        Contender("uvicorn on asyncio, aiohttp", passing("uvicorn", "asyncio", "aiohttp")),
        Contender("aiohttp on uvloop, aiohttp", passing("aiohttp", "uvloop", "aiohttp")),
        Contender("aiohttp on asyncio, aiohttp", passing("aiohttp", "asyncio", "aiohttp")),
        Contender("uvicorn on uvloop, httpx2", passing("uvicorn", "uvloop", "httpx2"), is_slow=True),
        Contender("uvicorn on uvloop, httpx", passing("uvicorn", "uvloop", "httpx"), is_slow=True),
    ]
    try:
        contenders.insert(
            5, Contender("granian, aiohttp", passing("granian", "uvloop", "aiohttp", python_of("granian")))
        )
    except (subprocess.CalledProcessError, OSError) as error:
        yield f"granian was not compared: {error}"
    yield from table.lines(measure(contenders, [STREAMS, PACED_FAST, PACED, PLAIN, FIRST], rounds=ROUNDS), CHOSEN)
