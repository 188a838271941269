"""The spend report, worked out by hand: what is summed, by what, and what stands beside the money as doubt."""

from __future__ import annotations

from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import InputError, NotFoundError
from costmeter.core.money import format_amount
from costmeter.reports.spend import DOUBTS, MEASURES, SpendReport
from costmeter.store.rollups import AMOUNTS
from costmeter.store.scope import Scope
from tests.make import (
    MILLION,
    an_event,
    at,
    grant,
    record_and_post,
    set_up_account,
    top_up,
    usage,
)
from tests.reports.spending import spend

OPENING = "2025-03-01T00:00:00Z"


def costs(report: SpendReport) -> dict[Any, str]:
    """The cost of each row by its dimensions (None where it has none)."""
    found = {}
    for row in report.as_dict()["rows"]:
        key = tuple(row[name] for name in report.by)
        assert key not in found, "each group has one row"
        found[key[0] if len(key) == 1 else key] = row["cost"]
    return found


@pytest.fixture
def three_calls(engine: Engine) -> Engine:
    """A grant and a top-up of 1.00 each, three calls of 1.44, 1.10 and 0.585 USD, and one without a price."""
    grant(engine, "1.00", OPENING)
    top_up(engine, "1.00", OPENING)
    record_and_post(
        engine,
        an_event(
            "a", "2025-03-03T12:00:00Z", hit=MILLION, miss=MILLION,
            project="search", user="u-1", api_key="k-1", tags={"team": "red", "n": "1"},
        ),
        an_event("b", "2025-03-03T12:30:00Z", user="u-2", tags={"team": "blue"}),
        an_event("c", "2025-03-03T17:00:00Z", model="deepseek-reasoner", project="search", user="u-2", api_key="k-1")
        | {"usage": usage(MILLION, 0, MILLION, completion_tokens_details={"reasoning_tokens": 500_000})},
        an_event("d", "2025-03-04T12:00:00Z", model="deepseek-9", output=5, project="chat"),
    )  # fmt: skip
    return engine


class TestSums:
    def test_the_totals_are_those_of_the_calls(self, three_calls: Engine) -> None:
        totals = spend(three_calls).totals
        assert {name: format_amount(totals[name]) for name in AMOUNTS} == {
            "cost": "3.125",
            "granted": "1.00",  # of the first call
            "topped_up": "1.00",  # 0.44 of the first and 0.56 of the second
            "overdraft": "1.125",
            "untracked": "0.00",
            "cache_savings": "0.30",  # a million hits at 0.27 less 0.07, and one at 0.135 less 0.035
            "off_peak_savings": "1.745",  # 0.14 + 2.19 less 0.585
        }
        counts = {name: totals[name] for name in (*MEASURES, *DOUBTS) if name not in AMOUNTS}
        assert counts == {
            "calls": 4,
            "cache_hit_tokens": 2 * MILLION,
            "cache_miss_tokens": MILLION,
            "output_tokens": 3 * MILLION + 5,
            "reasoning_tokens": 500_000,
            "failed": 0,
            "unmetered": 0,
            "unpriced": 1,
            "provisional": 0,
            "quarantined": 0,
            "unposted": 0,
        }

    def test_a_row_has_the_measures_of_its_calls(self, three_calls: Engine) -> None:
        rows = {row["model"]: row for row in spend(three_calls).as_dict()["rows"]}
        assert rows["deepseek-reasoner"] == {
            "model": "deepseek-reasoner",
            "calls": 1,
            "cost": "0.585",
            "granted": "0.00",
            "topped_up": "0.00",
            "overdraft": "0.585",
            "untracked": "0.00",
            "cache_hit_tokens": MILLION,
            "cache_miss_tokens": 0,
            "output_tokens": MILLION,
            "reasoning_tokens": 500_000,
            "cache_savings": "0.10",
            "off_peak_savings": "1.745",
        }
        assert (rows["deepseek-9"]["calls"], rows["deepseek-9"]["output_tokens"]) == (1, 5)

    @pytest.mark.parametrize(
        ("by", "expected"),
        [
            (("account",), {"default": "3.125"}),
            (("project",), {"search": "2.025", "chat": "0.00", None: "1.10"}),
            (("user",), {"u-1": "1.44", "u-2": "1.685", None: "0.00"}),
            (("api_key",), {"k-1": "2.025", None: "1.10"}),
            (("model",), {"deepseek-chat": "2.54", "deepseek-reasoner": "0.585", "deepseek-9": "0.00"}),
            (("band",), {"standard": "2.54", "off_peak": "0.585", None: "0.00"}),
            (("day",), {"2025-03-03": "3.125", "2025-03-04": "0.00"}),
            (("tag:team",), {"red": "1.44", "blue": "1.10", None: "0.585"}),
            (("tag:n",), {"1": "1.44", None: "1.685"}),
            (("tag:nobody has it",), {None: "3.125"}),
            (("project", "user"), {
                ("search", "u-1"): "1.44", (None, "u-2"): "1.10", ("search", "u-2"): "0.585", ("chat", None): "0.00",
            }),
            (("tag:team", "tag:n"), {("red", "1"): "1.44", ("blue", None): "1.10", (None, None): "0.585"}),
        ],
        ids=lambda value: ",".join(value) if isinstance(value, tuple) else "",
    )  # fmt: skip
    def test_it_is_grouped_by_any_dimension_and_what_has_none_is_a_row(
        self, three_calls: Engine, by: tuple[str, ...], expected: dict[Any, str]
    ) -> None:
        report = spend(three_calls, by=by)
        assert costs(report) == expected
        for name in MEASURES:
            assert sum(report.rows[name].tolist()) == report.totals[name], "rows add up to the totals"

    def test_without_dimensions_there_is_one_row(self, three_calls: Engine) -> None:
        assert costs(spend(three_calls, by=())) == {(): "3.125"}

    def test_tags_of_any_name_can_be_grouped_and_filtered(self, engine: Engine) -> None:
        names = ["a.b", "a b", "团队", "a'b", "$", "0", "[0]", "#-1", 'a"b', "a\\b", "a:b=c"]
        record_and_post(engine, an_event("a", tags={name: f"is {name}" for name in names}), an_event("b"))
        for name in names:
            found = costs(spend(engine, by=(f"tag:{name}",)))
            assert found == {f"is {name}": "1.10", None: "1.10"}, name
        for name in names[:-1]:  # a filter ends its key at the first equals sign
            found = costs(spend(engine, Scope.checked(month="2025-03", where=[f"tag:{name}=is {name}"]), by=("user",)))
            assert found == {None: "1.10"}, name

    def test_as_csv_it_has_the_same_rows_exactly(self, three_calls: Engine) -> None:
        out = StringIO()
        spend(three_calls, by=("project",)).to_csv(out)
        lines = out.getvalue().split("\r\n")
        assert lines[0] == ",".join(("project", *MEASURES))
        assert lines[-1] == ""
        assert "search,2,2.025,1.00,0.44,0.585,0.00,2000000,1000000,2000000,500000,0.30,1.745" in lines

    def test_an_empty_database_is_an_empty_report(self, engine: Engine) -> None:
        for by in (("model",), ("day", "project"), ("hour",), ("tag:x",)):
            report = spend(engine, by=by)
            assert (len(report.rows), set(report.totals.values()), report.currency) == (0, {0}, None)
            assert report.as_dict()["totals"]["cost"] == "0.00"


class TestTime:
    @pytest.mark.parametrize(
        ("timezone", "days"),
        [
            ("UTC", {"2025-03-03": "1.10", "2025-03-04": "1.10"}),
            ("Asia/Kolkata", {"2025-03-04": "2.20"}),  # +05:30, from 18:30Z
            ("Asia/Kathmandu", {"2025-03-03": "1.10", "2025-03-04": "1.10"}),  # +05:45, from 18:15Z
            ("America/St_Johns", {"2025-03-03": "2.20", "2025-03-04": "2.20"}),  # -03:30
        ],
    )
    def test_days_are_those_of_the_zone(self, engine: Engine, timezone: str, days: dict[str, str]) -> None:
        instants = {
            "UTC": ("2025-03-03T23:59:59.999999Z", "2025-03-04T00:00:00Z"),
            "Asia/Kolkata": ("2025-03-03T18:30:00Z", "2025-03-04T18:29:59.999999Z"),
            "Asia/Kathmandu": ("2025-03-03T18:14:59.999999Z", "2025-03-03T18:15:00Z"),
            "America/St_Johns": ("2025-03-04T03:29:59.999999Z", "2025-03-04T03:30:00Z"),
        }[timezone]
        calls = (an_event(f"c{n}", instant, output=2 * MILLION) for n, instant in enumerate(instants))
        record_and_post(engine, *calls)  # off-peak but for the last zone
        report = spend(engine, by=("day",), timezone=timezone)
        assert costs(report) == days
        assert report.timezone == timezone

    @pytest.mark.parametrize(
        ("timezone", "instant", "hour"),
        [
            ("UTC", "2025-03-03T12:59:59.999999Z", "2025-03-03T12:00:00+00:00"),
            ("Asia/Kolkata", "2025-03-03T12:30:00Z", "2025-03-03T18:00:00+05:30"),
            ("Asia/Kolkata", "2025-03-03T12:29:59Z", "2025-03-03T17:00:00+05:30"),
            ("Asia/Kathmandu", "2025-03-03T12:15:00Z", "2025-03-03T18:00:00+05:45"),
            ("Asia/Kathmandu", "2025-03-03T12:14:59Z", "2025-03-03T17:00:00+05:45"),
            ("Australia/Lord_Howe", "2025-03-03T12:00:00Z", "2025-03-03T23:00:00+11:00"),
            ("Europe/Berlin", "2025-03-30T00:59:59Z", "2025-03-30T01:00:00+01:00"),
            ("Europe/Berlin", "2025-03-30T01:00:00Z", "2025-03-30T03:00:00+02:00"),
        ],
    )
    def test_hours_are_those_of_the_zone(self, engine: Engine, timezone: str, instant: str, hour: str) -> None:
        record_and_post(engine, an_event("a", instant), now="2025-04-01T00:00:00Z")
        (row,) = spend(engine, by=("hour",), timezone=timezone).rows.to_dict("records")
        found = datetime.fromisoformat(row["hour"])
        assert (found, found.utcoffset()) == (datetime.fromisoformat(hour), datetime.fromisoformat(hour).utcoffset())

    def test_the_hour_that_comes_twice_in_autumn_is_two(self, engine: Engine) -> None:
        calls = [an_event(f"c{n}", f"2025-11-02T0{hour}:30:00Z") for n, hour in enumerate((4, 5, 6, 7))]
        record_and_post(engine, *calls, now="2025-12-01T00:00:00Z")
        report = spend(engine, Scope(month="2025-11"), by=("hour",), timezone="America/New_York")
        clocks = sorted(datetime.fromisoformat(hour).strftime("%H%z") for hour in report.rows["hour"])
        assert clocks == ["00-0400", "01-0400", "01-0500", "02-0500"]
        (row,) = spend(engine, Scope(month="2025-11"), by=("day",), timezone="America/New_York").rows["day"]
        assert row == "2025-11-02"

    def test_the_zone_is_the_one_that_the_accounts_share_else_utc(self, engine: Engine) -> None:
        set_up_account(engine, "one", timezone="Asia/Shanghai")
        record_and_post(engine, an_event("a", "2025-03-03T16:00:00Z", account="one"))
        report = spend(engine, by=("day",))
        assert (report.timezone, list(report.rows["day"])) == ("Asia/Shanghai", ["2025-03-04"])
        assert report.as_dict()["from"] == "2025-02-28T16:00:00Z"
        set_up_account(engine, "two", timezone="UTC")
        report = spend(engine, by=("day",))
        assert (report.timezone, list(report.rows["day"])) == ("UTC", ["2025-03-03"])
        assert report.as_dict()["from"] == "2025-03-01T00:00:00Z"

    def test_a_month_is_the_billing_month_whatever_zone_is_shown(self, engine: Engine) -> None:
        set_up_account(engine, "shanghai", timezone="Asia/Shanghai")
        call = an_event("a", "2025-03-31T16:00:00Z", account="shanghai")
        record_and_post(engine, call, now="2025-04-02T00:00:00Z")
        assert costs(spend(engine, timezone="UTC", by=("day",))) == {}
        april = spend(engine, Scope(month="2025-04"), timezone="UTC", by=("day",))
        assert costs(april) == {"2025-03-31": "1.10"}

    def test_from_and_to_go_by_completion_and_to_is_excluded(self, engine: Engine) -> None:
        hours = [f"2025-03-03T1{n}:00:00Z" for n in range(4)]
        record_and_post(engine, *(an_event(f"c{n}", hour) for n, hour in enumerate(hours)))
        scope = Scope.checked(start=at("2025-03-03T11:00:00Z"), end=at("2025-03-03T13:00:00Z"))
        report = spend(engine, scope, by=())
        assert (report.totals["calls"], report.as_dict()["from"]) == (2, "2025-03-03T11:00:00Z")


class TestScope:
    @pytest.mark.parametrize(
        ("where", "cost"),
        [
            (["project=search"], "2.025"),
            (["project=search", "user=u-2"], "0.585"),
            (["model=deepseek-chat"], "2.54"),
            (["band=off_peak"], "0.585"),
            (["api_key=k-1"], "2.025"),
            (["tag:team=blue"], "1.10"),
            (["account=default"], "3.125"),
            (["project=nobody"], "0.00"),
        ],
        ids=lambda value: ",".join(value) if isinstance(value, list) else "",
    )
    def test_filters_choose_calls(self, three_calls: Engine, where: list[str], cost: str) -> None:
        report = spend(three_calls, Scope.checked(month="2025-03", where=where))
        assert format_amount(report.totals["cost"]) == cost

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "give either a month, or from and to"),
            ({"month": "2025-03", "start": at(OPENING)}, "give either a month, or from and to"),
            ({"start": at(OPENING)}, "give from and to, and from before to"),
            ({"start": at(OPENING), "end": at(OPENING)}, "give from and to, and from before to"),
            ({"month": "2025-13"}, "write a month as YYYY-MM"),
            ({"month": "2025-03", "where": ["project"]}, "write KEY=VALUE"),
            ({"month": "2025-03", "where": ["color=red"]}, "write KEY=VALUE with a key of account, project"),
        ],
    )
    def test_options_that_say_nothing_clear_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message):
            Scope.checked(**options)

    @pytest.mark.parametrize("by", [("colour",), ("tag:",), ("model", "model")])
    def test_dimensions_that_are_none_are_refused(self, engine: Engine, by: tuple[str, ...]) -> None:
        with pytest.raises(InputError, match="by"):
            spend(engine, by=by)

    def test_an_unknown_zone_is_refused(self, engine: Engine) -> None:
        with pytest.raises(InputError, match="is no IANA time zone"):
            spend(engine, timezone="Mars/Olympus")

    def test_an_unknown_account_is_not_an_empty_one(self, engine: Engine) -> None:
        with pytest.raises(NotFoundError, match="no account 'nobody'"):
            spend(engine, Scope(month="2025-03", account="nobody"))

    def test_two_currencies_are_never_summed(self, engine: Engine) -> None:
        set_up_account(engine, "cny", "CNY")
        record_and_post(engine, an_event("a"), an_event("b", account="cny"))
        with pytest.raises(InputError, match="accounts in CNY and USD, which are never summed; choose one"):
            spend(engine)
        found = {c: spend(engine, Scope(month="2025-03", currency=c)).as_dict() for c in ("USD", "CNY")}
        assert {c: (r["totals"]["cost"], r["currency"]) for c, r in found.items()} == {
            "USD": ("1.10", "USD"), "CNY": ("8.00", "CNY")
        }  # fmt: skip
        assert spend(engine, Scope(month="2025-03", account="cny")).currency == "CNY"

    def test_one_account_is_reported_alone(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a", account="one"), an_event("b", account="two", output=2 * MILLION))
        assert costs(spend(engine, by=("account",))) == {"one": "1.10", "two": "2.20"}
        assert costs(spend(engine, Scope(month="2025-03", account="two"), by=("account",))) == {"two": "2.20"}


class TestSavings:
    @pytest.mark.parametrize(
        ("model", "instant", "cache", "off_peak"),
        [
            # 2026: hits at 0.006, misses at 0.30, output at 1.20 in peak hours, half of each outside them.
            ("deepseek-flash", "2026-10-19T02:00:00Z", "0.294", "0.00"),
            ("deepseek-flash", "2026-10-19T00:00:00Z", "0.147", "0.603"),
            # Flat prices of 2026-05: 0.0028, 0.14 and 0.28, whatever the time.
            ("deepseek-v4-flash", "2026-05-18T02:00:00Z", "0.1372", "0.00"),
            # Before caching had a price of its own a hit is unpriced, and saves nothing that anybody knows.
            ("deepseek-chat", "2024-08-01T00:00:00Z", "0.00", "0.00"),
        ],
    )
    def test_they_are_those_of_the_charges_own_tariff(
        self, engine: Engine, model: str, instant: str, cache: str, off_peak: str
    ) -> None:
        record_and_post(
            engine, an_event("a", instant, model=model, hit=MILLION, output=MILLION), now="2026-11-01T00:00:00Z"
        )
        totals = spend(engine, Scope(month=instant[:7])).totals
        found = format_amount(totals["cache_savings"]), format_amount(totals["off_peak_savings"])
        assert found == (cache, off_peak)
