"""The ways to call that are compared: the bare SDK, ours, and each rival's, set up as its own manual says.

Each is opened in a process of its own, and each rival in a venv of its own; so each imports what it needs when it is
opened. What they record goes to the local server.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.recorder.calls import Create

KEY = "sk-0123456789abcdef0123456789abcdef"
PATIENCE = 60  # seconds for the last records to be delivered


class Recorded(NamedTuple):
    """How to call with recording, how to wait until all of it has left, and a check that nothing was lost."""

    create: Create
    flush: Callable[[], object]
    verify: Callable[[int], None]  # given the number of calls; raises AssertionError


def open_bare(url: str) -> Create:
    """The SDK alone; to be opened first, since some rivals replace its methods: this keeps the original ones."""
    from openai import OpenAI
    from openai.resources.chat.completions import Completions

    return functools.partial(Completions.create, OpenAI(base_url=url, api_key=KEY).chat.completions)


def open_costmeter(url: str) -> Recorded:
    """Into the database of the settings, which is a new SQLite file."""
    from openai import OpenAI

    import costmeter

    client = costmeter.wrap(OpenAI(base_url=url, api_key=KEY), project="bench")

    def flush() -> None:
        assert costmeter.flush(PATIENCE), "records were not delivered"

    return Recorded(client.chat.completions.create, flush, _verify_report)


def open_langfuse(url: str) -> Recorded:
    """The drop-in client; its exporter sends to the local server."""
    from langfuse import Langfuse
    from langfuse.openai import OpenAI

    langfuse = Langfuse(public_key="pk-lf-benchmark", secret_key="sk-lf-benchmark", base_url=url)
    return Recorded(OpenAI(base_url=url, api_key=KEY).chat.completions.create, langfuse.flush, _trust)


def open_opentelemetry(url: str) -> Recorded:
    """The instrumentation of the SDK with the batch processor; its OTLP exporter sends to the local server."""
    from openai import OpenAI
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    return Recorded(OpenAI(base_url=url, api_key=KEY).chat.completions.create, provider.force_flush, _trust)


def open_litellm(url: str) -> Recorded:
    """Its own completion(), provider deepseek, with the callback that its manual gives for tracking costs."""
    import litellm

    costs: list[float] = []
    made = 0

    def track_cost(asked: dict[str, Any], *_: object) -> None:
        if not asked.get("stream") or asked.get("complete_streaming_response"):  # it is called for each chunk
            costs.append(asked["response_cost"])

    def create(*, model: str, **asked: Any) -> Any:
        nonlocal made
        made += 1
        return litellm.completion(model=f"deepseek/{model}", api_base=url, api_key=KEY, **asked)

    def flush() -> None:
        """Waits for its threads, which cannot be asked whether they are done."""
        deadline = time.monotonic() + PATIENCE
        while len(costs) < made and time.monotonic() < deadline:
            time.sleep(0.02)

    def verify(calls: int) -> None:
        assert len(costs) == calls, f"{len(costs)} costs of {calls} calls"
        assert all(costs), "calls without a cost"

    litellm.success_callback = [track_cost]
    return Recorded(create, flush, verify)


OPENERS = {
    "costmeter": open_costmeter,
    "langfuse": open_langfuse,
    "opentelemetry": open_opentelemetry,
    "litellm": open_litellm,
}
PACKAGES = {name: name for name in OPENERS} | {"opentelemetry": "opentelemetry-instrumentation-openai"}


def _trust(_calls: int) -> None:
    """What went to the sink is not read again."""


def _verify_report(calls: int) -> None:
    """Every call is in the report, measured."""
    command = [sys.executable, "-m", "costmeter", "report", "--json", "--from", "2000-01-01T00:00:00Z"]
    ran = subprocess.run([*command, "--to", "2100-01-01T00:00:00Z"], capture_output=True, text=True, check=True)
    totals = json.loads(ran.stdout)["totals"]
    assert (totals["calls"], totals["unmetered"], totals["unposted"]) == (calls, 0, 0), totals
