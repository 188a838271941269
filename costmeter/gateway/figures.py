"""What the gateway tells of itself: whether it lives, and what it counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from costmeter.gateway.exchange import Exchange
from costmeter.gateway.requests import Message, Scope
from costmeter.gateway.targets import route_of
from costmeter.recorder.spool import Spool

EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"


class Figures:
    """Counters of this process. No label holds a key, an account, a model or a path as it was asked for."""

    def __init__(self, spool: Spool, folder: str | None = None) -> None:
        """`folder`: where processes that share one port keep their counters, so that each can tell those of all.

        What became of their records each could tell of its own alone; then none does. The spool's folder is shared.
        """
        self._folder, self._room = folder, CollectorRegistry()
        self._room.register(_Room(spool))
        self._registry = own = CollectorRegistry()
        name = "costmeter_gateway"
        self._requests = Counter(f"{name}_requests", "Requests by route and status.", ["route", "status"], registry=own)
        self._refused = Counter(f"{name}_refused", "Requests that the gateway refused.", ["code"], registry=own)
        self._left = Counter(f"{name}_left", "Requests whose callers left before the end.", ["route"], registry=own)
        self._broken = Counter(f"{name}_broken", "Answers that DeepSeek broke off.", ["route"], registry=own)
        said = "Calls that went through unasked for, as the database was away."
        self._unasked = Counter(f"{name}_unasked", said, registry=own)
        self._under_way = Gauge(
            f"{name}_under_way", "Requests that are being answered.", registry=own, multiprocess_mode="livesum"
        )
        if folder is None:
            own.register(_Spooled(spool))

    @contextmanager
    def counted(self, exchange: Exchange) -> Iterator[None]:
        """Counts an exchange, however it ends."""
        route = route_of(exchange.request.path)
        self._under_way.inc()
        try:
            yield
        finally:
            self._under_way.dec()
            if exchange.is_unasked:
                self._unasked.inc()
            self._requests.labels(route, str(exchange.status or "none")).inc()
            if exchange.refused is not None:
                self._refused.labels(exchange.refused.code).inc()
            elif exchange.has_left:
                self._left.labels(route).inc()
            elif not exchange.is_complete:
                self._broken.labels(route).inc()

    def own_answer(self, scope: Scope) -> list[Message] | None:
        """The answer to a question about the gateway itself; None where DeepSeek is asked."""
        if scope.get("root_path") or scope["method"] not in ("GET", "HEAD"):
            return None
        if scope["path"] in ("/healthz", "/readyz"):
            return _answered(b"application/json", json.dumps({"status": "ok"}).encode())
        if scope["path"] == "/metrics":
            return _answered(EXPOSITION, self._exposition())
        return None

    def _exposition(self) -> bytes:
        registry = self._registry
        if self._folder is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._folder)  # type: ignore[no-untyped-call]  # it has no types
        return generate_latest(registry) + generate_latest(self._room)


class _Room:
    """How full the spool's folder is, asked of it when Prometheus asks."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def collect(self) -> Iterator[Metric]:
        limit = "Bytes at which it is full."
        yield GaugeMetricFamily("costmeter_spool_bytes", "Bytes that the spool's folder takes.", value=self._spool.size)
        yield GaugeMetricFamily("costmeter_spool_limit_bytes", limit, value=self._spool.limit)


class _Spooled:
    """What became of the calls that were recorded, asked of the spool when Prometheus asks."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def collect(self) -> Iterator[Metric]:
        counts = self._spool.counts
        yield CounterMetricFamily("costmeter_recorded_calls", "Calls recorded.", value=counts.recorded)
        yield CounterMetricFamily("costmeter_dropped_calls", "Calls that could not be kept.", value=counts.dropped)
        yield GaugeMetricFamily("costmeter_waiting_calls", "Calls that are not delivered yet.", value=counts.waiting)


def _answered(kind: bytes, body: bytes) -> list[Message]:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    return [
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
