"""The dashboard *Spend*: what calls cost, by SQL on the reporting views."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import (
    DATABASE,
    ORANGE,
    RED,
    Sheet,
    Sql,
    bars,
    column,
    gauges,
    lines,
    number,
    rows,
    thresholds,
)

MOST = 11  # of what a chart tells apart; all others are one
# Two currencies are never summed: the currency is one, whatever else is chosen. '*' stands for all.
OF_ACCOUNTS = (
    "currency = ${currency:sqlstring} AND ('*' IN (${account:sqlstring}) OR account IN (${account:sqlstring}))"
)
CHOSEN = (
    f"{OF_ACCOUNTS} AND ('*' IN (${{project:sqlstring}}) OR coalesce(project, '(none)') IN (${{project:sqlstring}}))"
)
# A call is never booked before the month of its completion, so that the month lets the key be used.
SINCE_MONTH = "billing_month >= to_char($__timeFrom()::timestamptz - interval '2 days', 'YYYY-MM')"
IN_DAYS = (
    f"{SINCE_MONTH} AND day BETWEEN ($__timeFrom()::timestamptz AT TIME ZONE timezone)::date "
    "AND ($__timeTo()::timestamptz AT TIME ZONE timezone)::date"
)
IN_TIME = f"{SINCE_MONTH} AND $__timeFilter(quarter_start)"
TODAY = "day = (now() AT TIME ZONE timezone)::date"
THIS_MONTH = "billing_month = to_char(now() AT TIME ZONE timezone, 'YYYY-MM')"
# Noon of UTC is on the same date nearly everywhere: a bar stands on its day, whatever zone the reader is in.
AT_NOON = "(day + time '12:00') AT TIME ZONE 'UTC'"
DAYS = "Days are those of each account's time zone."


def spend() -> builders.Dashboard:
    sheet = Sheet(
        "costmeter-spend", "costmeter: spend", "What calls to DeepSeek cost, from the reporting views.", DATABASE
    )
    _ask_the_reader(sheet.dashboard)
    _now(sheet)
    _over_time(sheet)
    _limits(sheet)
    _details(sheet)
    return sheet.dashboard.time("now-30d", "now").refresh("5m")


def _ask_the_reader(dashboard: builders.Dashboard) -> None:
    """Which database, which currency, which accounts and projects."""
    dashboard.with_variable(builders.DatasourceVariable("database").label("Database").type(str(DATABASE.type_val)))
    of_currency = "WHERE currency = ${currency:sqlstring}"
    asked = {
        "currency": "SELECT DISTINCT currency FROM report_balance ORDER BY 1",
        "account": f"SELECT account FROM report_balance {of_currency} ORDER BY 1",
        "project": f"SELECT DISTINCT coalesce(project, '(none)') FROM report_spend_day {of_currency} ORDER BY 1",
    }
    for name, sql in asked.items():
        variable = builders.QueryVariable(name).label(name.capitalize()).query(sql).datasource(DATABASE)
        variable.refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
        if name != "currency":
            variable.multi(True).include_all(True).all_value("'*'")
            variable.current(models.VariableOption(text=["All"], value=["$__all"]))
        dashboard.with_variable(variable)


def _now(sheet: Sheet) -> None:
    def one(value: str, where: str) -> list[Sql]:
        return [Sql(f"SELECT {value} AS value FROM report_spend_day WHERE {CHOSEN} AND {where}")]

    cost = "coalesce(sum(cost), 0)"
    rate = "sum(cache_hit_tokens) / nullif(sum(cache_hit_tokens + cache_miss_tokens), 0)"
    behind = thresholds((1, RED))
    sheet.row(
        "Now, in $currency",
        (4, "Today", f"What calls of today cost. {DAYS}", number().decimals(4), one(cost, TODAY)),
        (4, "This month", "What is booked in this month, as `costmeter report --month` tells it.", number().decimals(4),
         one(cost, THIS_MONTH)),
        (4, "In the time shown", f"What calls cost on the days that are looked at. {DAYS}", number().decimals(4),
         one(cost, IN_DAYS)),
        (3, "Cache hits", "The share of input tokens that came from the cache, in the time shown.",
         number().unit("percentunit").decimals(1).no_value("no calls"), one(rate, IN_DAYS)),
        (3, "Saved by the cache", "What the same calls would have cost more without it.", number().decimals(4),
         one("coalesce(sum(cache_savings), 0)", IN_DAYS)),
        (3, "Saved off-peak", "What the same calls would have cost more in the dearest band.", number().decimals(4),
         one("coalesce(sum(off_peak_savings), 0)", IN_DAYS)),
        (3, "Accounts behind", "No sum here is right until `costmeter db upgrade` has made their rollups.",
         number(color=True).thresholds(behind),
         one("count(DISTINCT account) FILTER (WHERE NOT is_current)", IN_DAYS)),
    )  # fmt: skip


def _by_day(dimension: str) -> list[Sql]:
    """Cost by day and a dimension: those that cost most in the time shown, and all others together."""
    of_days = f"FROM report_spend_day WHERE {CHOSEN} AND {IN_DAYS}"
    most = f"SELECT {dimension} {of_days} GROUP BY 1 ORDER BY sum(cost) DESC LIMIT {MOST}"
    named = f"CASE WHEN {dimension} IN ({most}) THEN {dimension} ELSE '(others)' END"
    sql = f"SELECT {AT_NOON} AS time, {named} AS metric, sum(cost) AS value {of_days} GROUP BY 1, 2 ORDER BY 1, 2"
    return [Sql(sql, over_time=True)]


def _over_time(sheet: Sheet) -> None:
    band = (
        "SELECT $__timeGroup(quarter_start, '1h') AS time, coalesce(band, '(unpriced)') AS metric, sum(cost) AS value "
        f"FROM report_spend_quarter WHERE {CHOSEN} AND {IN_TIME} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    rate = (
        f"SELECT {AT_NOON} AS time, 'cache hits' AS metric, sum(cache_hit_tokens) / "
        "nullif(sum(cache_hit_tokens + cache_miss_tokens), 0) AS value "
        f"FROM report_spend_day WHERE {CHOSEN} AND {IN_DAYS} GROUP BY 1 ORDER BY 1"
    )
    saved = " UNION ALL ".join(
        f"SELECT {AT_NOON} AS time, '{said}' AS metric, sum({name}) AS value "
        f"FROM report_spend_day WHERE {CHOSEN} AND {IN_DAYS} GROUP BY 1"
        for said, name in (("cache", "cache_savings"), ("off-peak", "off_peak_savings"))
    )
    tokens = " UNION ALL ".join(
        f"SELECT {AT_NOON} AS time, '{said}' AS metric, sum({name}_tokens) AS value "
        f"FROM report_spend_day WHERE {CHOSEN} AND {IN_DAYS} GROUP BY 1"
        for said, name in (("cache hits", "cache_hit"), ("cache misses", "cache_miss"), ("output", "output"))
    )
    told = f"The {MOST} that cost most in the time shown, and all others together. {DAYS}"
    sheet.row(
        "Over time, in $currency",
        (12, "By project", told, bars(), _by_day("coalesce(project, '(none)')")),
        (12, "By model", told, bars(), _by_day("model")),
        (12, "By account", told, bars(), _by_day("account")),
        (12, "By hour and band", "Peak hours cost more where DeepSeek's prices depend on the time.",
         bars(), [Sql(band, over_time=True)]),
        (8, "Cache hits by day", f"The share of input tokens that came from the cache. {DAYS}",
         lines().unit("percentunit").max(1), [Sql(rate, over_time=True)]),
        (8, "Saved by day", f"By the cache, and by the cheap hours. {DAYS}", bars(),
         [Sql(f"{saved} ORDER BY 1, 2", over_time=True)]),
        (8, "Tokens by day", f"Reasoning is inside output. {DAYS}", bars().unit("short"),
         [Sql(f"{tokens} ORDER BY 1, 2", over_time=True)]),
    )  # fmt: skip


def _limits(sheet: Sheet) -> None:
    budgets = (
        "SELECT account || ': ' || budget AS metric, round(spent / amount, 4) AS value FROM report_budget "
        f"WHERE {OF_ACCOUNTS} ORDER BY spent / amount DESC, 1 LIMIT 20"
    )
    of_budgets = (
        'SELECT account, budget, unit, per, period_start AS "since", spent, reserved, amount, '
        "greatest(amount - spent - reserved, 0) AS left, stops FROM report_budget "
        f"WHERE {OF_ACCOUNTS} ORDER BY spent / amount DESC, 1, 2 LIMIT 100"
    )
    balances = (
        "SELECT account, total, granted, topped_up, overdraft, is_frozen AS frozen FROM report_balance "
        f"WHERE {OF_ACCOUNTS} ORDER BY total, 1 LIMIT 100"
    )
    full = thresholds((0.8, ORANGE), (1, RED))
    amounts = [column(name, decimals=4) for name in ("total", "granted", "topped_up", "overdraft")]
    balance = rows().override_by_name(*amounts[0])
    for name, properties in amounts[1:]:
        balance.override_by_name(name, properties)
    budget = rows()
    for name in ("spent", "reserved", "amount", "left"):
        budget.override_by_name(*column(name, decimals=4))
    sheet.row(
        "Budgets and balances, in $currency",
        (8, "Budgets: spent of the limit", "In the period of now: the 20 that are fullest. Of all projects.",
         gauges().unit("percentunit").min(0).max(1).thresholds(full).no_value("no budgets"), [Sql(budgets)]),
        (16, "Budgets", "In the period of now, the 100 that are fullest. The unit is the currency, or tokens.",
         budget.no_value("no budgets"), [Sql(of_budgets)]),
        (24, "Balances", "What each account has now, by what is posted; the 100 with least. Of all projects.",
         balance.no_value("no accounts"), [Sql(balances)]),
    )  # fmt: skip


def _details(sheet: Sheet) -> None:
    dearest = (
        "SELECT coalesce(project, '(none)') AS project, model, sum(calls) AS calls, sum(unpriced) AS unpriced, "
        'sum(cost) AS cost, round(sum(cost) / nullif(sum(calls), 0), 6) AS "cost of a call", '
        'sum(cache_hit_tokens) / nullif(sum(cache_hit_tokens + cache_miss_tokens), 0) AS "cache hits", '
        f'sum(cache_savings) AS "saved by the cache" FROM report_spend_day WHERE {CHOSEN} AND {IN_DAYS} '
        "GROUP BY 1, 2 ORDER BY sum(cost) DESC, 1, 2 LIMIT 100"
    )
    # Items of accounts that were never made have no currency: they are told whichever is chosen.
    uncounted = (
        "SELECT $__timeGroup(quarter_start, '1h') AS time, kind AS metric, sum(calls) AS value FROM report_uncounted "
        "WHERE (currency IS NULL OR currency = ${currency:sqlstring}) AND ('*' IN (${account:sqlstring}) "
        "OR account IN (${account:sqlstring})) AND $__timeFilter(quarter_start) GROUP BY 1, 2 ORDER BY 1, 2"
    )
    table = rows().override_by_name(*column("cost", decimals=4))
    table.override_by_name(*column("saved by the cache", decimals=4))
    table.override_by_name(*column("cache hits", unit="percentunit", decimals=1))
    sheet.row(
        "Details",
        (14, "By project and model, in $currency", "The 100 that cost most in the time shown.",
         table.no_value("no calls"), [Sql(dearest)]),
        (10, "Not in the cost", "Calls that failed, whose usage is unknown, or that wait; open items. Of all projects.",
         bars().decimals(0).no_value("none"), [Sql(uncounted, over_time=True)]),
    )  # fmt: skip
