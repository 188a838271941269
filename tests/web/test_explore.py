"""Explore: every number is the API's, whatever is asked; each row leads to what it sums; and who may see what."""

from __future__ import annotations

import csv
import io
import random
import re
from collections import Counter
from datetime import date, timedelta
from html import unescape
from typing import Any

import httpx
import pytest

from costmeter.core.lessons import percent
from costmeter.core.money import format_amount, parse_total
from costmeter.core.periods import day_period, format_instant
from costmeter.reports.spend import DIMENSIONS, DOUBTS, MEASURES
from tests.make import an_event, record_and_post
from tests.web.books import NOW
from tests.web.reading import Read, plain
from tests.web.serving import Browser, Pages, paged
from tests.web.test_overview import BANDS, ask

LABELS = {
    "Calls": "calls", "Cost": "cost", "From granted": "granted", "From topped up": "topped_up",
    "Overdraft": "overdraft", "Untracked": "untracked", "Cache hit tokens": "cache_hit_tokens",
    "Cache miss tokens": "cache_miss_tokens", "Output tokens": "output_tokens",
    "Reasoning tokens": "reasoning_tokens", "Saved by the cache": "cache_savings",
    "Saved by cheaper hours": "off_peak_savings", "Cache hits": "cache_hit_percent",
}  # fmt: skip
ZONES = ("UTC", "Asia/Shanghai", "America/St_Johns")


@pytest.fixture(scope="module")
def browser(site: Pages) -> Browser:
    return site.browser(site.key("read"))


@pytest.fixture(scope="module")
def api(site: Pages) -> httpx.Client:
    return site.api(site.key("read"))


def look(browser: Browser, asked: Any, path: str = "/explore") -> str:
    answer = browser.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return answer.text


def question(chance: random.Random) -> dict[str, Any]:
    """Something that anybody might want to know."""
    found: dict[str, Any] = {
        "timezone": chance.choice(ZONES),
        "by": ",".join(chance.sample((*DIMENSIONS, "tag:team"), chance.randint(1, 3))),
        "metric": chance.choice([*LABELS.values()]),
        "currency": "USD",
    }
    found |= chance.choice(
        ({}, {}, {"account": "shop"}, {"account": "labs"}, {"account": "beijing", "currency": "CNY"})
    )
    wheres = ("project=search", "model=deepseek-flash", "band=peak", "user=u-17", "project=nothing")
    found["where"] = chance.sample(wheres[:4], chance.choice((0, 0, 1, 2))) or chance.choice(([], [wheres[4]]))
    first = date(2026, 11, 17) - timedelta(days=chance.randrange(30))
    last = first + timedelta(days=chance.randrange(12))
    intervals = (
        {"month": "2026-11"},
        {"month": "2026-10"},
        {"from": first.isoformat(), "to": last.isoformat()},
        {"from": f"{first}T06:00:00+02:00", "to": f"{last}T12:34:56Z"},
    )
    return found | chance.choice(intervals)


def for_the_api(asked: dict[str, Any]) -> dict[str, Any]:
    """The same question, with instants for days."""
    found = {name: value for name, value in asked.items() if name not in ("metric", "sort")}
    for name, edge in (("from", 0), ("to", 1)):
        if len(asked.get(name, "")) == 10:
            instant = day_period(date.fromisoformat(asked[name]), asked["timezone"])[edge]
            assert instant
            found[name] = format_instant(instant)
    return found


def shown(row: dict[str, Any], columns: list[str]) -> list[str]:
    """What a page writes of a row of the API, in its columns."""
    return [_cell(row, name) for name in columns]


def _cell(row: dict[str, Any], name: str) -> str:
    if name == "cache_hit_percent":
        share = percent(row["cache_hit_tokens"], row["cache_hit_tokens"] + row["cache_miss_tokens"])
        return "\u2013" if share is None else f"{share} %"
    if name == "band":
        return BANDS[row["band"]]
    if name == "hour":
        day, time, offset = row["hour"][:10], row["hour"][11:16], row["hour"][19:]
        return f"{day} {time}" if offset == "Z" else f"{day} {time} {offset}"
    return "(none)" if row[name] is None else str(row[name])


def table_of(seen: Read) -> tuple[list[str], list[list[str]]]:
    """The columns of the table by the API's names, and its rows."""
    words = {"API key": "api_key", "tag team": "tag:team"}
    heads = [plain(text) for text in seen.tables["rows-table"][0]]
    return [LABELS.get(text) or words.get(text) or text.lower() for text in heads], seen.body("rows-table")


@pytest.mark.parametrize("seed", range(16))
def test_every_number_is_the_apis(browser: Browser, api: httpx.Client, seed: int) -> None:
    asked = question(random.Random(seed))
    page = look(browser, asked)
    seen, told = Read(page), ask(api, "reports/spend", **for_the_api(asked))
    for name in DOUBTS:
        assert seen.amount(name) == str(told["totals"][name]), name
    if not told["rows"]:
        assert "No call that was measured" in page
        return
    columns, (*rows, total) = table_of(seen)
    assert columns[: len(told["by"])] == told["by"]
    if len(rows) <= 200:
        unpriced = [columns.index("cost")] if told["totals"]["unpriced"] else []
        assert Counter(map(tuple, _without(rows, unpriced))) == Counter(
            map(tuple, _without([shown(row, columns) for row in told["rows"]], unpriced))
        )
    assert total == ["In all", *shown(told["totals"], columns[len(told["by"]) :])]
    assert seen.amount("total") == shown(told["totals"], [asked["metric"]])[0]
    left_out = {*MEASURES} - {*columns}
    assert all(row[name] in (0, "0.00") for row in told["rows"] for name in left_out)


def _without(rows: list[list[str]], places: list[int]) -> list[list[str]]:
    return [[text for place, text in enumerate(row) if place not in places] for row in rows]


@pytest.mark.parametrize("metric", ["cost", "calls", "cache_hit_percent"])
def test_the_chart_has_the_same_numbers_as_a_table(browser: Browser, api: httpx.Client, metric: str) -> None:
    asked = {"account": "shop", "month": "2026-11", "by": "day,project", "metric": metric}
    page = look(browser, asked)
    assert page.count("<svg") == 2
    told = ask(api, "reports/spend", account="shop", month="2026-11", by="day,project")["rows"]
    head, *rows, total = [[plain(text) for text in row] for row in Read(page).tables["chart-table"]]
    found = {(row[0], name): text for row in rows for name, text in zip(head[1:-1], row[1:-1], strict=True) if text}
    assert found == {(row["day"], row["project"] or "(none)"): _cell(row, metric) for row in told}
    of_days = ask(api, "reports/spend", account="shop", month="2026-11", by="day")
    assert {row[0]: row[-1] for row in rows} == {row["day"]: _cell(row, metric) for row in of_days["rows"]}
    assert total[-1] == _cell(of_days["totals"], metric)


def test_without_a_time_each_name_has_a_bar(browser: Browser, api: httpx.Client) -> None:
    page = look(browser, {"account": "shop", "month": "2026-11", "by": "model,project"})
    told = ask(api, "reports/spend", account="shop", month="2026-11", by="model")["rows"]
    bars = re.findall(
        r'<span class="of">(.*?)</span>\s*<svg.*?</svg>\s*<span class="worth">(.*?)</span></li>', page, re.DOTALL
    )
    words = [[plain(re.sub("<[^>]*>", "", text)) for text in one] for one in bars]
    assert sorted(words) == sorted([row["model"], row["cost"]] for row in told)
    ends = [float(x) + float(w) for x, w in re.findall(r'<rect x="([\d.]+)" y="0" width="([\d.]+)"', page)]
    assert max(ends) == pytest.approx(100, abs=0.01)


def test_more_rows_than_are_told_one_by_one(browser: Browser, api: httpx.Client) -> None:
    asked = {"currency": "USD", "from": "2026-10-01", "to": "2026-11-18", "by": "hour,project,model", "timezone": "UTC"}
    seen = Read(look(browser, asked))
    told = ask(api, "reports/spend", **for_the_api(asked))
    columns, (*rows, rest, total) = table_of(seen)
    assert len(rows) == 200
    assert rest[0] == f"{len(told['rows']) - 200} rows more"
    place = columns.index("cost") - 2  # the foot's first cell is as wide as three
    costs = [parse_total(row[place + 2]) for row in rows if row[place + 2] != "unpriced"]
    assert format_amount(sum(costs) + parse_total(rest[place])) == total[place] == told["totals"]["cost"]
    assert seen.marked["left"].startswith("The first 200 rows")


@pytest.mark.parametrize("seed", range(6))
def test_the_csv_is_what_is_seen_and_what_the_api_says(browser: Browser, api: httpx.Client, seed: int) -> None:
    asked = question(random.Random(100 + seed))
    answer = browser.get("/explore.csv", params=asked)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    head, *rows = csv.reader(io.StringIO(answer.text))
    told = api.get("/v1/reports/spend", params={**for_the_api(asked), "format": "csv"})
    same, *expected = csv.reader(io.StringIO(told.text))
    assert head == same
    assert sorted(rows) == sorted(expected)
    if rows:
        columns, body = table_of(Read(look(browser, asked)))
        place, at = columns.index("calls"), head.index("calls")
        assert [row[place] for row in body[: len(rows)]] == [row[at] for row in rows][:200]


@pytest.mark.parametrize(
    "asked",
    [
        {"account": "shop", "month": "2026-11", "by": "project"},
        {"account": "shop", "from": "2026-11-10", "to": "2026-11-16", "by": "day,model", "timezone": "Asia/Shanghai"},
        {"from": "2026-11-16", "to": "2026-11-17", "by": "hour,account", "currency": "USD", "where": "band=peak"},
        {"account": "shop", "from": "2026-11-17T02:30:00Z", "to": "2026-11-17T09:45:00Z", "by": "hour"},
    ],
)
def test_each_row_leads_to_what_it_sums_and_to_its_calls(browser: Browser, asked: dict[str, str]) -> None:
    page = look(browser, asked)
    columns, rows = table_of(Read(page))
    links = re.findall(r'<tr><th scope="row"><a href="([^"]*)"', page)
    to_calls = re.findall(r'<td class="number(?: chosen)?"><a href="(/calls[^"]*)"', page)
    calls, cost = columns.index("calls"), columns.index("cost")
    linked = [row for row in rows[:-1] if row[0] != "(none)"]
    assert len(links) == len(linked) > 1
    for link, row in zip(links, linked, strict=True):
        assert Read(look(browser, None, unescape(link))).amount("total") == row[cost]
    for link, row in zip(to_calls, linked, strict=False):
        listed = Read(look(browser, None, unescape(link))).body("calls-table")
        assert sum(cells[-1] != "Unmetered" for cells in listed) == min(int(row[calls]), 50)
        costs = [parse_total(cells[-1]) for cells in listed if cells[-1] != "Unmetered"]
        assert int(row[calls]) > 50 or format_amount(sum(costs)) == row[cost]


def test_filters_are_seen_and_can_be_taken_away(browser: Browser) -> None:
    page = look(browser, {"account": "shop", "where": ["project=search", "band=peak"], "month": "2026-11"})
    without = re.search(r'<a href="([^"]*)" aria-label="Without band=peak">', page)
    assert without
    again = unescape(without[1])
    assert "where=project%3Dsearch" in again
    assert "band" not in again
    assert Read(look(browser, None, again)).amount("total") == Read(
        look(browser, {"account": "shop", "where": "project=search", "month": "2026-11"})
    ).amount("total")


def test_a_filter_that_is_asked_for_anew_stands_for_the_one_before(browser: Browser) -> None:
    """So that the form's field changes what the page was of, and what it says it is of is what it is of."""
    page = look(browser, {"where": ["project=search", "band=peak", "project=support"], "month": "2026-11"})
    assert re.findall('aria-label="Without ([^"]*)"', page) == ["project=support", "band=peak"]
    assert page.index('type="hidden" name="where"') < page.index('id="where"')
    expected = look(browser, {"where": ["project=support", "band=peak"], "month": "2026-11"})
    assert Read(page).amount("total") == Read(expected).amount("total")


@pytest.mark.parametrize("by", ["model", "project"])
def test_the_overviews_days_lead_into_explore(browser: Browser, by: str) -> None:
    page = look(browser, {"account": "labs", "by": by}, "/")
    days = page.split('id="days-table"')[1].split("</table>")[0]
    links = re.findall(r'<tr><th scope="row"><a href="([^"]*)"', days)
    rows = [row for row in Read(page).body("days-table")[:-1] if "(none)" not in row and "No price" not in row]
    assert len(links) == len(rows) > 20
    for link, row in [*zip(links, rows, strict=True)][::7]:
        seen = Read(look(browser, None, unescape(link)))
        assert seen.amount("total") == row[-1]
        columns, told = table_of(seen)
        assert told[-1][columns.index("calls") - 1] == row[3], "the foot's first cell is as wide as two"


def test_a_form_and_a_list_ask_the_same(browser: Browser) -> None:
    by_form = [("by", "day"), ("by", "band"), ("by", ""), ("account", "shop"), ("month", "2026-11"), ("where", "")]
    by_link = {"by": "day,band", "account": "shop", "month": "2026-11"}
    assert look(browser, by_form) == look(browser, by_link)


def test_columns_sort(browser: Browser) -> None:
    asked = {"account": "shop", "month": "2026-11", "by": "project"}
    for sort, word in (("-calls", "descending"), ("calls", "ascending"), ("project", "ascending")):
        page = look(browser, asked | {"sort": sort})
        columns, (*rows, _) = table_of(Read(page))
        assert page.count(f'aria-sort="{word}"') == 1
        texts = [row[columns.index(sort.removeprefix("-"))] for row in rows]
        values = [int(text) for text in texts] if "calls" in sort else [text.replace("(none)", "") for text in texts]
        assert values == sorted(values, reverse=sort.startswith("-"))


def test_it_says_when_single_calls_are_read(browser: Browser) -> None:
    assert "reads_calls" in Read(look(browser, {"by": "user"})).marked
    assert "reads_calls" not in Read(look(browser, {"by": "day,model"})).marked


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"by": "colour"}, 422, "use any of account"),
        ({"by": "day,hour,model,band"}, 422, "choose one to 3"),
        ({"metric": "love"}, 422, "metric"),
        ({"sort": "user"}, 422, "sort"),
        ({"month": "November"}, 422, "YYYY-MM"),
        ({"month": "2026-11", "from": "2026-11-01"}, 422, "either a month, or from and to"),
        ({"from": "2026-11-01"}, 422, "give from and to"),
        ({"from": "2026-11-09", "to": "2026-11-01"}, 422, "from before to"),
        ({"from": "2026-13-01", "to": "2026-11-01"}, 422, "from"),
        ({"from": "0001-01-01", "to": "2026-11-01"}, 422, "from"),
        ({"from": "2026-11-01T00:00:00", "to": "2026-11-02"}, 422, "has no time zone"),
        ({"where": "project"}, 422, "KEY=VALUE"),
        ({"timezone": "Mars/Olympus"}, 422, "no IANA time zone"),
        ({"currency": "EUR"}, 422, "USD, CNY"),
        ({"account": "nobody"}, 404, "no account"),
    ],
)
@pytest.mark.parametrize("path", ["/explore", "/explore.csv"])
def test_what_means_nothing_says_so_on_a_page(browser: Browser, path: str, asked: Any, status: int, says: str) -> None:
    answer = browser.get(path, params=asked)
    assert answer.status_code == status
    assert says in unescape(answer.text)
    assert answer.headers["content-type"].startswith("text/html")


def test_empty_filters_are_none(browser: Browser) -> None:
    names = ("account", "currency", "month", "from", "to", "where", "by", "timezone", "metric", "sort")
    assert look(browser, dict.fromkeys(names, "")) == look(browser, {})


@pytest.mark.parametrize("path", ["/explore", "/explore.csv", "/calls"])
def test_who_is_not_signed_in_signs_in_first(site: Pages, path: str) -> None:
    answer = site.browser().get(path, params={"account": "shop"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")


def test_a_key_of_accounts_sees_those_only(site: Pages) -> None:
    of_one = site.browser(site.key("read", accounts=["labs"]))
    asked = {"month": "2026-11", "by": "account"}
    for path in ("/explore", "/explore.csv"):
        assert "shop" not in look(of_one, asked, path)
        assert of_one.get(path, params={"account": "shop"}).status_code == 403
    assert [row[0] for row in Read(look(of_one, asked)).body("rows-table")] == ["labs", "In all"]
    assert "rows-table" not in Read(look(of_one, asked | {"where": "account=shop"})).tables
    of_two = site.browser(site.key("read", accounts=["shop", "beijing"]))
    assert "Account <bdi>beijing</bdi>" in look(of_two, {}), "the first one"


def test_a_key_of_projects_sees_those_only(site: Pages) -> None:
    key = site.key("read", accounts=["shop"], projects=["search", "support"])
    browser = site.browser(key)
    asked = {"month": "2026-11", "by": "project"}
    assert [row[0] for row in Read(look(browser, asked)).body("rows-table")] == ["search", "In all"]
    others = look(browser, asked | {"where": "project=support"})
    assert [row[0] for row in Read(others).body("rows-table")] == ["support", "In all"]
    for path in ("/explore", "/explore.csv"):
        assert browser.get(path, params=asked | {"where": "project=research"}).status_code == 403


def test_books_without_anything(bare: Pages) -> None:
    page = look(bare.browser(bare.key("read")), {})
    assert "No call that was measured is among these." in page
    assert "0 accounts" in page


def test_either_database_says_the_same(database_url: str) -> None:
    with paged(database_url, NOW) as pages:
        more: Any = {"model": "deepseek-flash", "tags": {"team": "a=b, <c>"}}
        record_and_post(pages.engine, an_event("one", "2026-11-18T08:00:00Z", **more), now=NOW)
        browser = pages.browser(pages.key("read"))
        page = look(browser, {"by": "tag:team,hour"})
        assert table_of(Read(page))[1][0][:3] == ["a=b, <c>", "2026-11-18 08:00", "1.20"]
        link = unescape(re.findall(r'<tr><th scope="row"><a href="([^"]*)"', page)[0])
        assert Read(look(browser, None, link)).amount("total") == "1.20"
        assert "Tag team" in page


def test_names_are_never_markup(bare: Pages) -> None:
    name = '"><script>alert(1)</script>'
    record_and_post(bare.engine, an_event("one", "2026-11-18T08:00:00Z", project=name, model="deepseek-flash"), now=NOW)
    browser = bare.browser(bare.key("read"))
    for asked in ({"by": "project"}, {"by": "day,project"}, {"where": f"project={name}"}):
        page = look(browser, asked)
        assert "<script>" not in page
        assert table_of(Read(page))[1][-1][-1] != ""
