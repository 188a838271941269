"""What Prometheus is told: requests by route, events by outcome, and how the books stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from costmeter import __version__
from costmeter.api.service import Service
from costmeter.services.record_calls import Tally
from costmeter.store import accounts, events, quarantine
from costmeter.store.engine import reading

_OUTCOMES = ("accepted", "duplicates", "conflicts", "quarantined")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Measures:
    """The counters of this process. No label holds a key, a user, an account or a path as it was asked for."""

    def __init__(self, folder: str | None = None) -> None:
        """`folder`: where processes that share one port keep their counters, so that each can tell those of all."""
        self._folder = folder
        self._registry = CollectorRegistry()
        labels, own = ["route", "method", "status"], self._registry
        self._requests = Counter("costmeter_http_requests", "Requests answered.", labels, registry=own)
        self._seconds = Histogram(
            "costmeter_http_request_seconds", "Seconds to the answer's end.", ["route"], registry=own
        )
        self._events = Counter("costmeter_events", "Usage events by what became of them.", ["outcome"], registry=own)
        self._spans = Counter("costmeter_spans_ignored", "Spans that are no call.", ["reason"], registry=own)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def recorded(self, tally: Tally) -> None:
        counts = tally.counts()
        for outcome in _OUTCOMES:
            self._events.labels(outcome).inc(counts[outcome])

    def ignored(self, reasons: Mapping[str, int]) -> None:
        for reason, count in reasons.items():
            self._spans.labels(reason).inc(count)

    def exposition(self, service: Service) -> bytes:
        """Everything in Prometheus's text format, the state of the books read now."""
        state = CollectorRegistry()
        state.register(_Books(service))
        registry = self._registry
        if self._folder is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + generate_latest(state)


class _Books:
    """How the books stand, asked of the database."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        with reading(self._service.engine) as connection:
            unposted = events.count_pending(connection)
            quarantined = quarantine.count(connection, None)
            frozen = len(accounts.frozen(connection))
        yield GaugeMetricFamily("costmeter_unposted_calls", "Calls that wait to be posted.", unposted)
        yield GaugeMetricFamily(
            "costmeter_quarantined_items", "Items in quarantine that wait for somebody.", quarantined
        )
        yield GaugeMetricFamily("costmeter_frozen_accounts", "Accounts that nothing is posted to.", frozen)
        failing = int(self._service.poster.failing_since is not None)
        yield GaugeMetricFamily("costmeter_poster_failing", "1 while posting fails and is tried again.", failing)
        info = GaugeMetricFamily(
            "costmeter_build_info", "The version, and the price book's edition.", labels=["version", "edition"]
        )
        info.add_metric([__version__, self._service.book.edition[:12]], 1)
        yield info
