"""What Prometheus is told: requests by route, events by outcome, and how the books stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from costmeter import __version__
from costmeter.api.service import Service
from costmeter.core.watch import KINDS
from costmeter.services.record_calls import Tally
from costmeter.store import accounts, alerts, events, leases, notices, quarantine, runs
from costmeter.store.engine import reading
from costmeter.store.runs import DONE, Run

_OUTCOMES = ("accepted", "duplicates", "conflicts", "quarantined")
DAY = timedelta(days=1)
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
            MultiProcessCollector(registry, path=self._folder)  # type: ignore[no-untyped-call]  # it has no types
        return generate_latest(registry) + generate_latest(state)


class _Books:
    """How the books stand, asked of the database."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        now = self._service.now()
        with reading(self._service.engine) as connection:
            state: dict[str, float] = {
                "unposted_calls": events.count_pending(connection),
                "quarantined_items": quarantine.count(connection, None),
                "frozen_accounts": len(accounts.frozen(connection)),
                "scheduler_holds_lease": int(leases.get(connection, now) is not None),
            }
            since = events.waiting_since(connection)
            state["deliveries_given_up"] = sum(notices.given_up_since(connection, now - DAY).values())
            standing = alerts.count_standing(connection, KINDS)
            newest = runs.newest(connection)
        state["unposted_seconds"] = 0 if since is None else max(0, (now - since).total_seconds())
        state["poster_failing"] = int(self._service.poster.failing_since is not None)
        for name, value in state.items():
            yield GaugeMetricFamily(f"costmeter_{name}", _MEANING[name], value)
        yield _standing(standing)
        yield from _jobs(newest)
        info = GaugeMetricFamily("costmeter_build_info", "The version and the edition.", labels=["version", "edition"])
        info.add_metric([__version__, self._service.book.edition[:12]], 1)
        yield info


def _standing(standing: Mapping[str, int]) -> Metric:
    """The alerts of the watch, by what they are of."""
    told = GaugeMetricFamily("costmeter_alerts_standing", "Alerts that have not recovered.", labels=["kind"])
    for kind, count in standing.items():
        told.add_metric([kind], count)
    return told


def _jobs(newest: Mapping[str, Run]) -> Iterator[Metric]:
    """When the newest run of each job ended, and whether it went well."""
    ended = GaugeMetricFamily("costmeter_job_finished_seconds", "When a job's newest run ended.", labels=["job"])
    went_well = GaugeMetricFamily("costmeter_job_went_well", "1 where that run was done.", labels=["job"])
    for job, run in newest.items():
        if run.finished_at is not None:
            ended.add_metric([job], run.finished_at.timestamp())
            went_well.add_metric([job], int(run.outcome == DONE))
    yield from (ended, went_well)


_MEANING = {
    "unposted_calls": "Calls that wait to be posted.",
    "unposted_seconds": "How long the oldest of them has waited, those of frozen accounts apart.",
    "quarantined_items": "Items in quarantine that wait for somebody.",
    "frozen_accounts": "Accounts that nothing is posted to.",
    "scheduler_holds_lease": "1 while a scheduler works.",
    "deliveries_given_up": "Deliveries of notices that were given up in the last 24 hours.",
    "poster_failing": "1 while posting fails and is tried again.",
}
