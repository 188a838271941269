"""The page of prices says what the API says, and a quote on it is the API's; who may see it."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import httpx
import pytest

from costmeter.core.periods import format_instant, zone
from costmeter.reports.prices import names_shape, rate_steps
from tests.make import an_event, at, book, record_and_post
from tests.web.books import NOW
from tests.web.reading import Read, plain
from tests.web.serving import Browser, Pages
from tests.web.test_overview import BANDS, ask

BANDS_SHOWN = BANDS | {"flat": "Flat", "standard": "Standard"}
METERS = ("input.cache_hit", "input.cache_miss", "output")
COUNTS = ("cache_hit", "cache_miss", "output")


@pytest.fixture(scope="module")
def browser(site: Pages) -> Browser:
    return site.browser(site.key("read"))


@pytest.fixture(scope="module")
def api(site: Pages) -> httpx.Client:
    return site.api(site.key("read"))


def looked_at(browser: Browser, **asked: str) -> Read:
    answer = browser.get("/prices", params=asked)
    assert answer.status_code == 200, answer.text
    return Read(answer.text)


def history(api: httpx.Client, model: str) -> list[dict[str, Any]]:
    """Every tariff of a model, as the API has it."""
    found: list[dict[str, Any]] = api.get(f"/v1/prices/{model}/history").json()
    return found


@pytest.mark.parametrize("currency", ["USD", "CNY"])
def test_what_each_model_costs_now_is_the_apis(browser: Browser, api: httpx.Client, currency: str) -> None:
    rows = {
        row[0].split()[0]: row for row in looked_at(browser, currency=currency, account="shop").body("listed-table")
    }
    told = [row for row in ask(api, "prices")["prices"] if row["currency"] == currency]
    assert {*rows} == {row["model"] for row in told}
    for row in told:
        shown = rows[row["model"]]
        assert shown[1] == BANDS_SHOWN[row["band"]]
        if "output" in row["rates"]:
            assert shown[2:] == [row["rates"][meter]["rate"] for meter in METERS]
        else:
            assert all(rate["rate"] in shown[2] for rate in row["rates"].values())


def test_the_models_that_the_account_uses_come_first_the_dearest_before_the_others(
    browser: Browser, api: httpx.Client
) -> None:
    since = format_instant(at("2026-11-18T00:00:00Z") - timedelta(days=30))
    spent = ask(api, "reports/spend", account="shop", by="model", **{"from": since}, to="2026-11-19T00:00:00Z")["rows"]
    used = [row["model"] for row in sorted(spent, key=lambda row: -float(row["cost"]))]
    rows = looked_at(browser, account="shop").body("listed-table")
    assert [row[0] for row in rows[: len(used)]] == [f"{name} used" for name in used]
    assert not any("used" in row[0] for row in rows[len(used) :])
    page = browser.get("/prices", params={"account": "shop"}).text
    assert f'<p class="lead"><bdi>{used[0]}</bdi> · USD · UTC</p>' in page


@pytest.mark.parametrize("model", [*book().names])
@pytest.mark.parametrize("currency", ["USD", "CNY"])
def test_every_tariff_stands_there_with_its_source(
    browser: Browser, api: httpx.Client, model: str, currency: str
) -> None:
    seen = looked_at(browser, model=model, currency=currency)
    rows = iter(seen.body("tariffs"))
    for tariff in history(api, model)[::-1]:
        listed = tariff["rates"].get(currency)
        for number, (band, rates) in enumerate((listed["bands"] if listed else {"": {}}).items()):
            row = next(rows)
            if number == 0:
                first, *row, last = row
                assert tariff["tariff"] in first
                assert (listed or tariff)["source"].split()[0] in last
                assert f"checked on {tariff['checked']}" in last
                assert f"confidence {(listed or tariff)['confidence']}" in last
                assert plain(tariff["doubt"] or "") in last
            if listed is None:
                assert row == ["no list in"], "what is read leaves currencies out"
            elif "output" in rates:
                assert row == [BANDS_SHOWN[band], *(rates.get(meter, "\u2013") for meter in METERS)]
            else:
                assert all(rate in row[1] for rate in rates.values())
    assert [*rows] == []


def test_the_charts_are_of_the_history(api: httpx.Client) -> None:
    for model in book().names:
        told = [
            (meter, band, rate, tariff["from"], tariff["to"])
            for tariff in history(api, model)
            for band, rates in tariff["rates"].get("USD", {"bands": {}})["bands"].items()
            for meter, rate in rates.items()
        ]
        steps = rate_steps(book(), model, "USD")
        assert [(one["meter"], one["band"], one["rate"], one["from"], one["to"]) for one in steps] == told


def test_the_week_is_on_the_readers_clock(browser: Browser, api: httpx.Client) -> None:
    chance = random.Random(1)
    for timezone in ("UTC", "Asia/Shanghai", "America/St_Johns"):
        rows = looked_at(browser, model="deepseek-flash", timezone=timezone).body("week-table")
        assert len(rows) == 24
        for _ in range(4):
            instant = at("2026-11-16T12:00:00Z") + timedelta(minutes=chance.randrange(6 * 1440))
            local = instant.astimezone(zone(timezone))
            told = ask(api, "prices/deepseek-flash", at=format_instant(instant))["band_at"].values()
            cell = rows[local.hour][1 + local.weekday()]
            assert any(BANDS_SHOWN[band] in cell for band in told), (instant, cell)
        now = at(NOW).astimezone(zone(timezone))
        assert "now" in rows[now.hour][1 + now.weekday()]
        assert sum("now" in cell for row in rows for cell in row) == 1


def test_other_weeks_and_holidays(browser: Browser) -> None:
    seen = looked_at(browser, model="deepseek-flash", timezone="Asia/Shanghai", week="2026-10-01")
    assert seen.body("week-table")[9][1:] == [*["Peak"] * 3, *["Off-peak, holiday"] * 2, "Off-peak", "Off-peak"]
    assert "now" not in str(seen.tables["week-table"])
    later = looked_at(browser, model="deepseek-flash", timezone="UTC", week="2027-01-06").body("week-table")
    assert later[2][1] == "Peak, provisional"


def test_names_say_what_they_stood_for(browser: Browser) -> None:
    rows = looked_at(browser).body("names-table")
    spans = [(one, span) for one in names_shape(book()) for span in one["spans"]]
    assert len(rows) == len(spans)
    for row, (one, span) in zip(rows, spans, strict=True):
        assert span["model"] in row
        assert span is not one["spans"][0] or (row[0] == one["name"] and one["source"].split()[0] in row[4])


def test_what_is_wrong_with_the_book_is_told_as_the_check_tells_it(browser: Browser, api: httpx.Client) -> None:
    told = ask(api, "prices/check")
    seen = looked_at(browser)
    assert told["problems"]
    assert seen.marked["problems"] == "".join(told["problems"])
    assert seen.marked["edition"] == told["edition"]


@pytest.mark.parametrize("seed", range(6))
def test_a_quote_is_the_apis(browser: Browser, api: httpx.Client, seed: int) -> None:
    chance = random.Random(seed)
    model, currency = chance.choice(("deepseek-chat", "deepseek-reasoner")), chance.choice(("USD", "CNY"))
    instant = at("2025-03-01T00:00:00Z") + timedelta(seconds=chance.randrange(86_400 * 400))
    timezone = chance.choice(("UTC", "Asia/Shanghai"))
    hit, miss, output = counts = [chance.choice((0, chance.randrange(10**6))) for _ in range(3)]
    local = instant.astimezone(zone(timezone)).replace(tzinfo=None).isoformat()
    filled = dict(zip(COUNTS, map(str, counts), strict=True))
    seen = looked_at(browser, model=model, currency=currency, timezone=timezone, completed_at=local, **filled)
    usage = {"prompt_tokens": hit + miss, "prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": miss,
             "completion_tokens": output, "total_tokens": hit + miss + output}  # fmt: skip
    said = {"model": model, "completed_at": format_instant(instant), "usage": usage, "currency": currency}
    told = api.post("/v1/quote", json=said).json()
    *lines, total = seen.body("quote-table")
    assert [row[1:] for row in lines] == [
        [str(one["quantity"]), f"{one['rate']} per {one['per']}", one["amount"]] for one in told["lines"]
    ]
    assert total[-1] == seen.amount("quote") == told["total"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"output": "many"}, "output"),
        ({"output": "1", "completed_at": "soon"}, "completed_at"),
        ({"output": "1"}, "is missing; say when"),
        ({"output": "9" * 18, "completed_at": "2026-11-18T09:20"}, "output"),
        ({"output": "1", "completed_at": "2027-01-01T00:00", "model": "deepseek-chat"}, "no price for model"),
    ],
)
def test_what_is_wrong_with_a_quote_is_told_beside_what_was_filled_in(
    browser: Browser, asked: dict[str, str], says: str
) -> None:
    answer = browser.get("/prices", params={"cache_hit": "77"} | asked)
    assert answer.status_code == 422
    assert says in answer.text.split('role="alert"', 1)[1].split("</p>", 1)[0]
    assert 'value="77"' in answer.text
    assert f'value="{asked["output"]}"' in answer.text
    assert "quote-table" not in Read(answer.text).tables


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"model": "gpt"}, 404, "no model"),
        ({"currency": "EUR"}, 422, "USD, CNY"),
        ({"timezone": "Mars/Olympus"}, 422, "no IANA time zone"),
        ({"week": "next"}, 422, "YYYY-MM-DD"),
        ({"week": "1066-10-14"}, 422, "choose a day"),
        ({"account": "nobody"}, 404, "no account"),
    ],
)
def test_a_filter_that_means_nothing_says_so_on_a_page(browser: Browser, asked: Any, status: int, says: str) -> None:
    answer = browser.get("/prices", params=asked)
    assert answer.status_code == status
    assert says in answer.text


def test_prices_are_no_secret_but_what_an_account_uses_is(site: Pages) -> None:
    of_one = site.browser(site.key("read", accounts=["labs"]))
    assert "shop" not in of_one.get("/prices").text
    assert of_one.get("/prices", params={"account": "shop"}).status_code == 403
    of_project = site.browser(site.key("read", accounts=["shop"], projects=["search"]))
    rows = Read(of_project.get("/prices", params={"account": "shop"}).text).body("listed-table")
    assert not any("used" in row[0] for row in rows)
    assert site.browser().get("/prices").headers["location"] == "/sign-in?next=%2Fprices"


def test_books_without_anything_have_prices_all_the_same(bare: Pages) -> None:
    browser = bare.browser(bare.key("read"))
    assert len(looked_at(browser).body("listed-table")) > 3
    record_and_post(bare.engine, an_event("a", "2026-11-17T12:00:00Z", model="deepseek-x"), now=NOW)
    assert len(looked_at(browser).body("listed-table")) > 3, "a model that the book does not know is none to choose"
