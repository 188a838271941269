"""Calls that OpenTelemetry's own instrumentation saw and its exporter sent: both books say the same of each."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from pydantic_ai import Agent
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from sqlalchemy import make_url, text

from costmeter import wiring
from costmeter.api.otlp.spans import DEEPSEEK_HOSTS
from costmeter.core.money import format_amount
from costmeter.recorder.client import wrap
from costmeter.recorder.spool import Spool
from costmeter.simulator import Simulator
from tests.api.emitting import Emitter, traced
from tests.api.serving import Api, posted, served, until
from tests.api.spanning import a_request, a_span

HOSTS = DEEPSEEK_HOSTS | {"127.0.0.1"}  # where the simulator is
QUESTION = "Tell me what the river said to the hill. " * 40
HELLO: Any = [{"role": "user", "content": QUESTION}]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with served(database_url, hosts=HOSTS) as client:
        yield client


@pytest.fixture
def sqlite_api(sqlite_url: str) -> Iterator[Api]:
    with served(sqlite_url, hosts=HOSTS) as client:
        yield client


def calls(api: Api) -> list[dict[str, Any]]:
    """The calls in the order in which they were recorded."""
    posted(api)
    listed: list[dict[str, Any]] = api.get("/v1/events").json()["data"]
    return listed[::-1]


def spend(api: Api) -> dict[str, Any]:
    asked = {"from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    totals: dict[str, Any] = api.get("/v1/reports/spend", params=asked).json()["totals"]
    return totals


def ask(emitter: Emitter, fault: str | None = None, **more: Any) -> None:
    """One call, read to its end; the caller sees its errors and goes on."""
    headers = {} if fault is None else {"x-simulator-fault": fault}
    try:
        answer = emitter.client.chat.completions.create(
            model="deepseek-flash", messages=HELLO, extra_headers=headers, **more
        )
        if more.get("stream"):
            list(answer)
    except APIError:
        assert fault is not None


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_both_books_agree_on_every_call(api: Api, simulator: Simulator, compression: Compression) -> None:
    with traced(simulator, **{"service.name": "search", "costmeter.user": "u-17"}) as emitter:
        for stream in (False, True, True):
            ask(emitter, stream=stream)
        emitter.client.responses.create(model="deepseek-flash", input=QUESTION)
        assert emitter.export(api, compression) is SpanExportResult.SUCCESS

    bills = [paid.bill for paid in simulator.ledger.calls]
    found = calls(api)
    assert len(found) == 4
    assert [call["response_id"] for call in found] == [bill.call_id for bill in bills]
    assert spend(api)["cost"] == format_amount(sum(bill.cost for bill in bills))
    assert {(call["project"], call["user"], call["model"]) for call in found} == {("search", "u-17", "deepseek-flash")}


def test_a_retried_export_counts_once(sqlite_api: Api, simulator: Simulator) -> None:
    with traced(simulator) as emitter:
        ask(emitter)
        ask(emitter)
        for _ in range(3):
            assert emitter.export(sqlite_api) is SpanExportResult.SUCCESS

    assert len(calls(sqlite_api)) == 2
    assert spend(sqlite_api)["cost"] == format_amount(sum(paid.bill.cost for paid in simulator.ledger.calls))


def test_an_agent_counts_its_calls_once_however_many_instrumentations_saw_them(
    sqlite_api: Api, simulator: Simulator
) -> None:
    """pydantic-ai traces the agent, which sums its calls, and each call, as the SDK's instrumentation does too."""

    async def work(provider: TracerProvider) -> None:
        async with AsyncOpenAI(api_key="sk-test-1", base_url=simulator.base_url) as client:
            agent = Agent(OpenAIChatModel("deepseek-flash", provider=OpenAIProvider(openai_client=client)))
            agent.instrument = InstrumentationSettings(tracer_provider=provider)
            await agent.run(QUESTION)
            await agent.run(QUESTION)

    with traced(simulator) as emitter:
        asyncio.run(work(emitter.provider))
        assert len(emitter.spans) == 6
        emitter.export(sqlite_api)

    bills = [paid.bill for paid in simulator.ledger.calls]
    assert {call["response_id"] for call in calls(sqlite_api)} == {bill.call_id for bill in bills}
    totals = spend(sqlite_api)
    assert (totals["calls"], totals["cost"]) == (2, format_amount(sum(bill.cost for bill in bills)))
    assert totals["cache_hit_tokens"] == sum(bill.usage.cache_hit for bill in bills) > 0
    assert sqlite_api.get("/v1/quarantine").json()["data"] == []


def test_a_call_that_the_recorder_saw_as_well_counts_once(sqlite_api: Api, simulator: Simulator) -> None:
    records: list[dict[str, Any]] = []
    spool = Spool(records.extend)
    with traced(simulator) as emitter:
        client = wrap(emitter.client, _spool=spool)
        for _ in range(2):
            client.chat.completions.create(model="deepseek-flash", messages=HELLO)
        assert spool.close(10)
        emitter.export(sqlite_api)
    answer = sqlite_api.post("/v1/events", json={"events": records}).json()

    assert (answer["accepted"], answer["duplicates"], answer["conflicts"]) == (0, 2, 0)
    posted(sqlite_api)
    assert spend(sqlite_api)["cost"] == format_amount(sum(paid.bill.cost for paid in simulator.ledger.calls))


def test_what_was_refused_costs_nothing_and_what_was_cut_off_is_known_to_be_unmetered(
    sqlite_api: Api, simulator: Simulator
) -> None:
    with traced(simulator) as emitter:
        for fault in ("402", "429", "502", "silent"):
            ask(emitter, fault)
        for fault in ("reset;after=2", "no_usage"):
            ask(emitter, fault, stream=True)
        emitter.export(sqlite_api)

    found = [sqlite_api.get(f"/v1/events/{call['event_id']}").json() for call in calls(sqlite_api)]
    assert [(call["status"], call["http_status"], call["error_code"]) for call in found] == [
        ("failed", 402, "openai.APIStatusError"),
        ("failed", 429, "openai.RateLimitError"),
        ("failed", 502, "openai.InternalServerError"),
        ("unmetered", None, "openai.APIConnectionError"),
        ("unmetered", None, "openai.APIConnectionError"),
        ("unmetered", None, None),
    ]
    totals = spend(sqlite_api)
    assert (totals["failed"], totals["unmetered"], totals["cost"]) == (3, 3, "0.00")


def test_a_prompt_that_the_span_carries_is_not_kept(
    sqlite_api: Api, sqlite_url: str, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    with traced(simulator) as emitter:
        ask(emitter)
        assert "the river said to the hill" in str(emitter.spans[0].attributes)
        emitter.export(sqlite_api)

    assert len(calls(sqlite_api)) == 1
    folder = Path(sqlite_url.removeprefix("sqlite:///")).parent
    stored = b"".join(file.read_bytes() for file in folder.glob("costmeter.sqlite3*"))
    assert b"deepseek-flash" in stored
    assert b"the river said" not in stored


def test_a_host_that_nobody_named_is_not_counted_as_deepseek(sqlite_url: str, simulator: Simulator) -> None:
    with served(sqlite_url) as api, traced(simulator) as emitter:
        ask(emitter)
        assert emitter.export(api) is SpanExportResult.SUCCESS
        assert api.get("/v1/accounts").json()["data"] == []


class TestAnswers:
    def test_json_is_answered_in_json(self, sqlite_api: Api) -> None:
        answer = sqlite_api.post("/v1/traces", json=a_request(a_span()))

        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json() == {}
        (call,) = calls(sqlite_api)
        assert call["event_id"] == "5b8efff798038103d269b633813fc60c:eee19b7ec3c1b174"

    def test_what_is_refused_is_rejected_and_in_quarantine(self, sqlite_api: Api) -> None:
        spans = [a_span(), a_span({"gen_ai.usage.cache_read.input_tokens": 10**6}, span_id="eee19b7ec3c1b175")]
        answer = sqlite_api.post("/v1/traces", json=a_request(*spans)).json()["partialSuccess"]

        assert answer["rejectedSpans"] == "1"
        assert (
            "span 5b8efff798038103d269b633813fc60c:eee19b7ec3c1b175: refused: prompt_tokens" in answer["errorMessage"]
        )
        assert len(calls(sqlite_api)) == 1
        (item,) = sqlite_api.get("/v1/quarantine").json()["data"]
        assert item["place"].endswith("eee19b7ec3c1b175")

    def test_what_is_ignored_is_not_rejected(self, sqlite_api: Api) -> None:
        other = a_span({"server.address": "api.openai.com"})
        assert sqlite_api.post("/v1/traces", json=a_request(other)).json() == {}

    def test_a_gateway_that_says_deepseek_is_named(self, sqlite_api: Api) -> None:
        other = a_span({"server.address": "llm.corp.example", "gen_ai.provider.name": "deepseek"})
        answer = sqlite_api.post("/v1/traces", json=a_request(other)).json()["partialSuccess"]

        assert "rejectedSpans" not in answer
        assert answer["errorMessage"].startswith("server.address 'llm.corp.example': 1 spans were ignored")
        assert "costmeter_spans_ignored_total" in sqlite_api.get("/metrics").text

    def test_an_empty_export_is_answered_in_protobuf(self, sqlite_api: Api) -> None:
        answer = sqlite_api.post("/v1/traces", content=b"", headers={"content-type": "application/x-protobuf"})

        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
        assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")

    @pytest.mark.parametrize(
        ("kind", "encoding", "body", "status"),
        [
            ("text/plain", None, b"{}", 415),
            ("application/json", "br", b"{}", 415),
            ("application/json", None, b"{", 400),
            ("application/json", None, b"[" * 200_000, 400),
            ("application/json", "gzip", b"{}", 400),
            ("application/x-protobuf", None, b"\xff\xff", 400),
            ("application/json", "gzip", gzip.compress(b" " * (65 << 20)), 413),
        ],
    )
    def test_a_body_that_cannot_be_read_is_a_problem(
        self, sqlite_api: Api, kind: str, encoding: str | None, body: bytes, status: int
    ) -> None:
        headers = {"content-type": kind} | ({"content-encoding": encoding} if encoding else {})
        answer = sqlite_api.post("/v1/traces", content=body, headers=headers)

        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")

    def test_a_key_of_one_account_sends_no_spans_of_another(self, sqlite_api: Api) -> None:
        key = sqlite_api.key("ingest", accounts=["mine"])
        own = sqlite_api.post("/v1/traces", json=a_request(a_span()), headers=key)
        foreign = a_request(a_span(span_id="eee19b7ec3c1b175"), **{"costmeter.account": "yours"})

        assert own.status_code == 200
        assert sqlite_api.post("/v1/traces", json=foreign, headers=key).status_code == 403
        posted(sqlite_api, "mine")
        (call,) = sqlite_api.get("/v1/events", params={"account": "mine"}).json()["data"]
        assert call["account"] == "mine"

    def test_a_key_that_only_reads_sends_none(self, sqlite_api: Api) -> None:
        answer = sqlite_api.post("/v1/traces", content=json.dumps(a_request()), headers=sqlite_api.key("read"))
        assert answer.status_code == 403


@contextmanager
def away(url: str) -> Iterator[None]:
    """The database refuses connections and cuts those that it has."""
    name = make_url(url).database
    administrator = wiring.open_bare_database(url.replace(f"/{name}", "/postgres"))
    with administrator.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :n"), {"n": name}
        )
        try:
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
    administrator.dispose()


def test_an_export_waits_for_a_database_that_is_away(
    postgres_url: str, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    with served(postgres_url, hosts=HOSTS) as api, traced(simulator) as emitter, ThreadPoolExecutor() as pool:
        ask(emitter)
        with away(postgres_url):
            answer = api.post("/v1/traces", json=a_request(a_span()))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            sent = pool.submit(emitter.export, api)
            until(lambda: "Transient error" in caplog.text)
        assert sent.result() is SpanExportResult.SUCCESS
        assert len(calls(api)) == 1


def test_further_hosts_come_from_the_settings(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("COSTMETER_DEEPSEEK_HOSTS", " LLM.corp.example,127.0.0.1, ")
    service = wiring.open_service()
    service.engine.dispose()
    assert service.deepseek_hosts == {"api.deepseek.com", "llm.corp.example", "127.0.0.1"}
