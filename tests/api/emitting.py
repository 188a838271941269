"""OpenTelemetry's own instrumentation of the OpenAI SDK, its SDK and its exporter, sending to a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from openai import OpenAI
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from costmeter.simulator import Simulator
from tests.api.serving import Api


class Emitter:
    """A program whose calls are traced; its spans are kept until they are exported."""

    def __init__(self, client: OpenAI, provider: TracerProvider, kept: InMemorySpanExporter) -> None:
        self.client = client
        self.provider = provider
        self._kept = kept

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._kept.get_finished_spans()

    def export(self, api: Api, compression: Compression = Compression.NoCompression) -> object:
        """Send every span so far, as a collector would; what the exporter says of it."""
        exporter = OTLPSpanExporter(
            f"{api.base_url}/v1/traces",
            headers={"Authorization": api.headers["Authorization"]},
            compression=compression,
        )
        try:
            return exporter.export(self.spans)
        finally:
            exporter.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def traced(simulator: Simulator, **resource: str) -> Iterator[Emitter]:
    """A traced client of the simulator."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create(resource), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with OpenAI(api_key="sk-test-1", base_url=simulator.base_url, max_retries=0) as client:
            yield Emitter(client, provider, kept)
    finally:
        instrumentor.uninstrument()
        provider.shutdown()
