"""Explored spend, worked out by hand: the order of rows, what is left out, what a chart shows, and the CSV."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import InputError
from costmeter.core.money import format_amount, parse_total
from costmeter.core.periods import Period
from costmeter.reports import explore
from costmeter.reports.explore import METRICS, Question, explore_csv, explore_report, tag_names
from costmeter.reports.spend import spend_report
from costmeter.store import accounts
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from tests.make import MARCH, an_event, at, record_and_post

NOW = "2025-03-10T00:00:00Z"
MONTH = Scope(month="2025-03")


def explored(engine: Engine, scope: Scope = MONTH, **asked: Any) -> dict[str, Any]:
    question = Question.checked(scope, **{"by": ("project",), "timezone": "UTC", **asked})
    with reading(engine) as connection:
        return explore_report(connection, question, at(NOW))


def names(report: dict[str, Any], dimension: str = "project") -> list[Any]:
    return [row[dimension] for row in report["rows"]]


@pytest.fixture
def four_calls(engine: Engine) -> Engine:
    """b costs 2.20 in two calls, a 1.10, what names no project 0.55; and one of c has no price."""
    calls = [
        an_event("1", project="b", hit=3_000_000, output=0, miss=1_000_000),
        an_event("2", "2025-03-05T12:00:00Z", project="b"),
        an_event("3", project="a"),
        an_event("4", output=500_000),
        an_event("5", project="c", model="deepseek-x"),
    ]
    record_and_post(engine, *calls, now=NOW)
    return engine


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["b", "a", None, "c"]),
        ({"sort": "cost"}, ["c", None, "a", "b"]),
        ({"sort": "project"}, [None, "a", "b", "c"]),
        ({"sort": "-project"}, ["c", "b", "a", None]),
        ({"metric": "calls"}, ["b", None, "a", "c"]),
        ({"metric": "cache_hit_percent"}, ["b", None, "a", "c"]),
        ({"metric": "output_tokens", "sort": "-calls"}, ["b", "a", "c", None]),
    ],
)
def test_rows_are_in_the_order_that_is_asked_for(four_calls: Engine, asked: Any, expected: list[str | None]) -> None:
    """Without one the largest first; what comes to the same by the metric, then by name."""
    assert names(explored(four_calls, **asked)) == expected


def test_the_newest_come_first_where_a_time_is_asked_for(four_calls: Engine) -> None:
    report = explored(four_calls, by=("model", "day"))
    assert names(report, "day") == ["2025-03-05", "2025-03-03", "2025-03-03"]
    assert names(report, "model") == ["deepseek-chat", "deepseek-chat", "deepseek-x"]


def test_the_share_of_hits_is_that_of_the_tokens(four_calls: Engine) -> None:
    report = explored(four_calls, metric="cache_hit_percent")
    assert {row["project"]: row["cache_hit_percent"] for row in report["rows"]} == {
        "a": None, "b": "75.00", "c": None, None: None,
    }  # fmt: skip
    assert report["totals"]["cache_hit_percent"] == "75.00"
    assert [one["value"] for one in report["chart"]["slots"]] == ["75.00", None, None, None]


def test_what_has_no_price_is_not_drawn_as_zero(four_calls: Engine) -> None:
    chart = explored(four_calls)["chart"]
    assert {one["name"]: one["value"] for one in chart["slots"]}["c"] is None
    assert explored(four_calls, metric="untracked")["chart"]["slots"][-1]["value"] == "0.00"


def test_many_rows_are_told_one_by_one_as_far_as_they_go(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "ROWS", 3)
    calls = [an_event(f"{n}", project=f"p{n:02}", output=1_000 * (n + 1)) for n in range(20)]
    record_and_post(engine, *calls, now=NOW)
    report = explored(engine)
    assert names(report) == ["p19", "p18", "p17"]
    assert (report["rest"]["rows"], report["rest"]["calls"]) == (17, 17)
    told = [*report["rows"], report["rest"]]
    for name in ("cost", "untracked", "cache_savings"):
        assert format_amount(sum(parse_total(row[name]) for row in told)) == report["totals"][name]
    chart = report["chart"]
    assert len(chart["slots"]) == 13
    assert chart["slots"][-1] == {"name": None, "others": 8, "value": format_amount(sum(range(1, 9)) * 1_100_000_000)}


def test_a_chart_has_a_bar_for_each_day_up_to_now_and_parts_for_the_other_dimension(four_calls: Engine) -> None:
    chart = explored(four_calls, by=("project", "day"))["chart"]
    assert (chart["across"], chart["parted"], chart["is_time"]) == ("day", "project", True)
    assert [one["name"] for one in chart["slots"]] == [f"2025-03-0{day}" for day in range(1, 10)]
    assert [one["name"] for one in chart["series"]] == ["b", "a", None, "c"]
    days = [one["value"] for one in chart["slots"]]
    assert [place for place, value in enumerate(days) if value is not None] == [2, 4]
    assert format_amount(sum(parse_total(days[place]) for place in (2, 4))) == chart["total"]
    parts = {(one["slot"], one["series"]): one["value"] for one in chart["parts"]}
    assert parts[4, 0] == "1.10"
    assert parts[2, 3] is None


def test_more_series_than_colours_are_summed_in_the_last(engine: Engine) -> None:
    calls = [an_event(f"{n}", project=f"p{n:02}", output=1_000 * (n + 1)) for n in range(10)]
    record_and_post(engine, *calls, now=NOW)
    chart = explored(engine, by=("day", "project"))["chart"]
    assert [one["name"] for one in chart["series"]] == [f"p{n:02}" for n in range(9, 2, -1)] + [None]
    assert chart["series"][-1]["others"] == 3
    values = [parse_total(one["value"]) for one in chart["series"]]
    assert format_amount(sum(values)) == chart["total"]


@pytest.mark.parametrize(
    ("timezone", "start", "end", "hours"),
    [
        ("UTC", "2025-03-03T10:30:00Z", "2025-03-03T12:30:00Z", 3),
        ("Asia/Kolkata", "2025-03-03T10:00:00Z", "2025-03-03T12:00:01Z", 3),
        ("America/New_York", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z", 19),  # up to now; 2:00 is left out
        ("UTC", "2025-02-20T00:00:00Z", "2025-03-09T00:00:00Z", None),
    ],
)
def test_hours_are_those_of_the_clock(engine: Engine, timezone: str, start: str, end: str, hours: int | None) -> None:
    record_and_post(engine, an_event("1", "2025-03-03T12:00:00Z"), an_event("2", "2025-03-09T12:00:00Z"), now=NOW)
    period = Period(at(start), at(end))
    chart = explored(engine, Scope(period=period), by=("hour",), timezone=timezone)["chart"]
    assert (chart["slots"] is None) if hours is None else (len(chart["slots"]) == hours)


def test_the_csv_is_the_reports_in_the_order_of_the_question(four_calls: Engine) -> None:
    for seed in range(8):
        chance = random.Random(seed)
        by = tuple(chance.sample(("account", "project", "model", "band", "day", "hour", "user"), chance.randint(1, 3)))
        question = Question.checked(MONTH, by=by, timezone="Asia/Shanghai", metric=chance.choice(METRICS))
        out, plain = io.StringIO(), io.StringIO()
        with reading(four_calls) as connection:
            explore_csv(connection, question, out)
            spend_report(connection, MONTH, by=by, timezone="Asia/Shanghai").to_csv(plain)
        (head, *told), (same, *rows) = (list(csv.reader(io.StringIO(one.getvalue()))) for one in (out, plain))
        assert head == same
        assert sorted(told) == sorted(rows)
        order = [row[: len(by)] for row in told]
        report = explored(four_calls, by=by, timezone="Asia/Shanghai", metric=question.metric)
        assert order == [[row[name] or "" for name in by] for row in report["rows"]]


def test_the_csv_runs_nothing_in_a_spreadsheet(engine: Engine) -> None:
    record_and_post(engine, an_event("1", project='=cmd|"/c calc"!A1'), an_event("2", project="plain"), now=NOW)
    out = io.StringIO()
    with reading(engine) as connection:
        explore_csv(connection, Question.checked(MONTH, by=("project",), timezone="UTC"), out)
    assert sorted(row[0] for row in csv.reader(io.StringIO(out.getvalue()))) == [
        """'=cmd|"/c calc"!A1""", "plain", "project",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "reads_calls"),
    [
        ({}, False),
        ({"by": ("hour", "band")}, False),
        ({"by": ("user",)}, True),
        ({"by": ("tag:team",)}, True),
        ({"scope": Scope(month="2025-03", where={"user": "u"})}, True),
        ({"scope": Scope(period=Period(at(MARCH), at("2025-03-03T12:00:01Z")))}, True),
    ],
)
def test_it_says_whether_single_calls_are_read(four_calls: Engine, asked: dict[str, Any], reads_calls: bool) -> None:
    assert explored(four_calls, **asked)["reads_calls"] is reads_calls


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"by": ()}, "choose one to 3 dimensions"),
        ({"by": ("day", "hour", "model", "band")}, "choose one to 3 dimensions"),
        ({"by": ("colour",)}, "use any of account"),
        ({"by": ("day", "day")}, "names a dimension twice"),
        ({"metric": "love"}, "metric 'love': use one of calls"),
        ({"sort": "user"}, "sort 'user': use one of project"),
    ],
)
def test_a_question_that_means_nothing_is_refused_by_name(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Question.checked(MONTH, **{"by": ("project",), "timezone": "UTC", **asked})


def test_nothing_is_nothing(engine: Engine) -> None:
    report = explored(engine)
    assert (report["rows"], report["rest"], report["chart"], report["accounts"]) == ([], None, None, 0)
    assert report["totals"]["calls"] == 0


def test_tags_of_the_latest_calls_can_be_asked_for(engine: Engine) -> None:
    record_and_post(engine, an_event("1", project="a", tags={"team": "x"}), an_event("2", tags={"stage": "y"}), now=NOW)
    with reading(engine) as connection:
        in_scope = accounts.listed(connection)
        assert tag_names(connection, in_scope, None) == ["stage", "team"]
        assert tag_names(connection, in_scope, "a") == ["team"]
