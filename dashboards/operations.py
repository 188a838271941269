"""The dashboard *Operations*: how the service and the gateway run, by Prometheus."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import (
    GREEN,
    ORANGE,
    PROMETHEUS,
    RED,
    Sheet,
    bars,
    column,
    figure,
    lines,
    number,
    rows,
    thresholds,
)

JOB = 'job=~"$job"'
RATE = "$__rate_interval"
# Every process tells of the same books: the largest is the newest that any of them saw.
BOOKS = f"max({{name}}{{{{{JOB}}}}})"


def operations() -> builders.Dashboard:
    says = "How the service and the gateway run, by what they tell Prometheus. docs/operations.md tells of each alert."
    sheet = Sheet("costmeter-operations", "costmeter: operations", says, PROMETHEUS)
    prometheus = builders.DatasourceVariable("prometheus").label("Prometheus").type(str(PROMETHEUS.type_val))
    ours = 'label_values({__name__=~"costmeter_build_info|costmeter_gateway_under_way"}, job)'
    job = builders.QueryVariable("job").label("Job").query({"qryType": 1, "query": ours, "refId": "job"})
    job.datasource(PROMETHEUS).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).multi(True).include_all(True)
    job.all_value(".+").current(models.VariableOption(text=["All"], value=["$__all"]))
    sheet.dashboard.with_variable(prometheus).with_variable(job)
    _at_a_glance(sheet)
    _service(sheet)
    _books(sheet)
    _gateway(sheet)
    return sheet.dashboard.time("now-6h", "now").refresh("30s")


def _of_books(name: str) -> str:
    return BOOKS.format(name=f"costmeter_{name}")


def _at_a_glance(sheet: Sheet) -> None:
    some, none = thresholds((1, RED)), thresholds((1, GREEN), base=RED)
    sheet.row(
        "At a glance",
        (3, "Processes up", "Of those that Prometheus scrapes.", number(color=True).thresholds(none),
         [figure(f"sum(up{{{JOB}}})")]),
        (3, "Calls waiting", "Calls that wait to be posted.", number(color=True).thresholds(
            thresholds((100, ORANGE), (10_000, RED))), [figure(_of_books("unposted_calls"))]),
        (3, "Posting lags", "How long the oldest of them has waited, those of frozen accounts apart.",
         number(color=True).unit("s").thresholds(thresholds((60, ORANGE), (300, RED))),
         [figure(_of_books("unposted_seconds"))]),
        (3, "Poster failing", "Processes whose poster fails and tries again.", number(color=True).thresholds(some),
         [figure(f"sum(costmeter_poster_failing{{{JOB}}})")]),
        (3, "Quarantine", "Items that wait for somebody.", number(color=True).thresholds(thresholds((1, ORANGE))),
         [figure(_of_books("quarantined_items"))]),
        (3, "Frozen accounts", "Accounts that nothing is posted to.", number(color=True).thresholds(some),
         [figure(_of_books("frozen_accounts"))]),
        (3, "Scheduler", "1 while a scheduler holds the lease.", number(color=True).thresholds(none),
         [figure(_of_books("scheduler_holds_lease"))]),
        (3, "Notices given up", "Deliveries of notices that were given up in the last 24 hours.",
         number(color=True).thresholds(some), [figure(_of_books("deliveries_given_up"))]),
        (12, "Alerts of Prometheus", "Those of the rules beside this dashboard that are pending or fire now.",
         rows().height(7).no_value("none").override_by_name(*column("Value", custom__hidden=True))
         .override_by_name(*column("Time", custom__hidden=True)),
         [figure('sum by (alertname, alertstate, severity, instance) (ALERTS{alertname=~"Costmeter.+"})', now=True)]),
        (12, "Alerts of the books", "What costmeter itself watches and tells by its channels (docs/watch.md).",
         bars().height(7).decimals(0),
         [figure(f"max by (kind) (costmeter_alerts_standing{{{JOB}}})", "{{kind}}")]),
    )  # fmt: skip


def _service(sheet: Sheet) -> None:
    requests, seconds = "costmeter_http_requests_total", "costmeter_http_request_seconds_bucket"
    quantiles = [
        figure(f"histogram_quantile({share}, sum by (le) (rate({seconds}{{{JOB}}}[{RATE}])))", said, ref=ref)
        for ref, share, said in (("A", 0.5, "half"), ("B", 0.95, "95 %"), ("C", 0.99, "99 %"))
    ]
    by_route = f"histogram_quantile(0.95, sum by (le, route) (rate({seconds}{{{JOB}}}[{RATE}])))"
    sheet.row(
        "The service",
        (8, "Requests a second", "By status.", bars().unit("reqps"),
         [figure(f"sum by (status) (rate({requests}{{{JOB}}}[{RATE}]))", "{{status}}")]),
        (8, "Seconds to the answer's end", "Of all routes.", lines().unit("s"), quantiles),
        (8, "95 % of answers by route", "Within so many seconds.", lines().unit("s"), [figure(by_route, "{{route}}")]),
        (8, "Server errors", "The share of answers with a status of 5xx.", lines().unit("percentunit").max(1),
         [figure(f"costmeter:http_errors:ratio5m{{{JOB}}}", "{{job}}")]),
        (8, "Events a second", "Usage events by what became of them.", bars().unit("cps"),
         [figure(f"sum by (outcome) (rate(costmeter_events_total{{{JOB}}}[{RATE}]))", "{{outcome}}")]),
        (8, "Spans ignored", "Spans of collectors that are no call of DeepSeek, by reason.", bars().unit("cps"),
         [figure(f"sum by (reason) (rate(costmeter_spans_ignored_total{{{JOB}}}[{RATE}]))", "{{reason}}")]),
    )  # fmt: skip


def _books(sheet: Sheet) -> None:
    # Prometheus keeps `job` for what it scrapes, and calls that of a metric `exported_job`.
    ended = f"time() - max by (exported_job) (costmeter_job_finished_seconds{{{JOB}}})"
    well = f"min by (exported_job) (costmeter_job_went_well{{{JOB}}})"
    jobs = rows().override_by_name(*column("Time", custom__hidden=True)).override_by_name(
        *column("exported_job", displayName="job")
    ).override_by_name(*column("Value #A", displayName="ended ago", unit="s")).override_by_name(
        *column("Value #B", displayName="went well", mappings=[_yes_or_no()])
    )  # fmt: skip
    jobs.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    sheet.row(
        "Books and scheduler",
        (8, "Calls waiting", "Calls that wait to be posted.", lines().decimals(0),
         [figure(_of_books("unposted_calls"), "calls")]),
        (8, "Posting lags", "How long the oldest of them has waited.", lines().unit("s"),
         [figure(_of_books("unposted_seconds"), "the oldest")]),
        (8, "Jobs", "When the newest run of each job ended, and whether it went well.", jobs,
         [figure(ended, now=True), figure(well, ref="B", now=True)]),
    )  # fmt: skip


def _yes_or_no() -> models.ValueMap:
    said = {"0": ("no", RED), "1": ("yes", GREEN)}
    return models.ValueMap(
        options={key: models.ValueMappingResult(text=text, color=color) for key, (text, color) in said.items()}
    )


def _gateway(sheet: Sheet) -> None:
    def rate(name: str, by: str) -> list[Any]:
        return [figure(f"sum by ({by}) (rate(costmeter_gateway_{name}_total{{{JOB}}}[{RATE}]))", f"{{{{{by}}}}}")]

    records = [
        figure(f"sum(rate(costmeter_{name}_calls_total{{{JOB}}}[{RATE}]))", said, ref=ref)
        for ref, name, said in (("A", "recorded", "recorded"), ("B", "dropped", "lost"))
    ]
    full = f"max by (instance) (costmeter_spool_bytes{{{JOB}}} / costmeter_spool_limit_bytes{{{JOB}}})"
    unasked = f"sum(rate(costmeter_gateway_unasked_total{{{JOB}}}[{RATE}]))"
    sheet.row(
        "The gateway",
        (8, "Calls a second", "By what they ask for.", bars().unit("reqps"), rate("requests", "route")),
        (8, "Answers a second", "By status, refusals among them.", bars().unit("reqps"), rate("requests", "status")),
        (8, "Under way", "Requests that are being answered.", lines().decimals(0),
         [figure(f"sum by (instance) (costmeter_gateway_under_way{{{JOB}}})", "{{instance}}")]),
        (8, "Refused", "By the gateway itself, by code.", bars().unit("reqps"), rate("refused", "code")),
        (8, "Broken off", "Answers that DeepSeek broke off, by what was asked for.", bars().unit("reqps"),
         rate("broken", "route")),
        (8, "Left", "Requests whose callers left before the end.", bars().unit("reqps"), rate("left", "route")),
        (8, "Records a second", "Calls recorded, and calls that could not be kept.", lines().unit("cps"), records),
        (8, "Records waiting", "Calls that are not delivered yet.", lines().decimals(0),
         [figure(f"sum by (instance) (costmeter_waiting_calls{{{JOB}}})", "{{instance}}")]),
        (4, "Spool", "How much of its bound the spool's folder takes.", lines().unit("percentunit").max(1),
         [figure(full, "{{instance}}")]),
        (4, "Unasked for", "Calls that went through unasked for, as the database was away.", lines().unit("cps"),
         [figure(unasked, "calls")]),
    )  # fmt: skip
