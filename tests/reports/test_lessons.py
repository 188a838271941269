"""What a month teaches, worked out by hand, and by pricing every call again in every band and at every hour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from costmeter.core.errors import DetachedError, InputError, NotFoundError
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, price_usage
from costmeter.core.usage import Usage
from costmeter.prices.read import read_edition
from costmeter.reports.lessons import month_lessons
from costmeter.services.detach_months import detach_months
from costmeter.services.make_partitions import make_partitions
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction, open_engine, reading
from costmeter.store.lessons import read_lessons
from costmeter.store.scope import Scope
from costmeter.store.tables import AccountRow
from tests.books import a_book, a_name, a_tariff
from tests.late_prices import with_other_rate
from tests.make import MILLION, an_event, at, book, post, record, record_and_post, set_up_account, usage, usd
from tests.services.invariants import close

DAY, NIGHT = "2025-03-03T12:00:00Z", "2025-03-03T17:00:00Z"
SAVINGS = ("cost", "cache_savings", "off_peak_savings", "off_peak_missed")


def told(
    engine: Engine, month: str = "2025-03", account: str = "default", project: str | None = None
) -> dict[str, Any]:
    with reading(engine) as connection:
        return month_lessons(connection, account, month, project).as_dict()


def missed(engine: Engine, month: str = "2025-03") -> str:
    text: str = told(engine, month)["totals"]["off_peak_missed"]
    return text


def forget_rollups(engine: Engine) -> None:
    in_transaction(engine, lambda connection: connection.execute(update(AccountRow).values(rolled_up=-1)))


@pytest.fixture
def two_months(engine: Engine) -> Engine:
    """February: chat alone. March: search by day and by night, with reasoning; something without a project or price."""
    record_and_post(engine, an_event("f", "2025-02-10T12:00:00Z", project="chat"))
    record_and_post(
        engine,
        an_event("a", DAY, hit=3 * MILLION, miss=MILLION, project="search"),
        an_event("b", NIGHT, hit=MILLION, project="search"),
        an_event("c", DAY, model="deepseek-reasoner", project="search")
        | {"usage": usage(0, 0, MILLION, completion_tokens_details={"reasoning_tokens": 250_000})},
        an_event("d", DAY, model="deepseek-9", output=8),
    )
    return engine


class TestByHand:
    def test_each_project_and_model_says_what_it_saved_and_missed(self, two_months: Engine) -> None:
        shape = told(two_months)
        rows = {(row["project"], row["model"]): row for row in shape["rows"]}
        assert rows["search", "deepseek-chat"] == {
            "project": "search",
            "model": "deepseek-chat",
            "calls": 2,
            "unpriced": 0,
            "cost": "2.165",  # 0.21 + 0.27 + 1.10 by day, 0.035 + 0.55 by night
            "cache_hit_tokens": 4 * MILLION,
            "cache_miss_tokens": MILLION,
            "cache_hit_percent": "80.00",
            "cache_savings": "0.70",  # 3 x (0.27 - 0.07) and 0.135 - 0.035
            "off_peak_savings": "0.585",  # the night's call by day: 0.07 + 1.10, less 0.585
            "off_peak_missed": "0.79",  # the day's call by night: half of 1.58
            "output_tokens": 2 * MILLION,
            "reasoning_tokens": 0,
            "reasoning_percent": "0.00",
        }
        reasoner = rows["search", "deepseek-reasoner"]
        assert {
            name: reasoner[name] for name in ("cost", "off_peak_missed", "reasoning_percent", "cache_hit_percent")
        } == {
            "cost": "2.19",
            "off_peak_missed": "1.64",  # 2.19 - 0.55
            "reasoning_percent": "25.00",
            "cache_hit_percent": None,
        }
        assert [rows[None, "deepseek-9"][name] for name in ("calls", "unpriced", "off_peak_missed")] == [1, 1, "0.00"]
        assert (shape["totals"]["cost"], shape["totals"]["off_peak_missed"]) == ("4.355", "2.43")
        assert (shape["account"], shape["month"], shape["currency"]) == ("default", "2025-03", "USD")

    def test_it_says_what_moved_against_the_month_before(self, two_months: Engine) -> None:
        movers = told(two_months)["movers"]
        assert [(one["name"], one["change"], one["state"]) for one in movers["project"]] == [
            ("search", "4.355", "new"), ("chat", "-1.10", "gone"),
        ]  # fmt: skip
        assert [(one["name"], one["change"], one["change_percent"]) for one in movers["model"]] == [
            ("deepseek-reasoner", "2.19", None), ("deepseek-chat", "1.065", "96.82"),
        ]  # fmt: skip

    def test_of_one_project_it_tells_only_that(self, two_months: Engine) -> None:
        shape = told(two_months, project="search")
        assert {row["project"] for row in shape["rows"]} == {"search"}
        assert [one["name"] for one in shape["movers"]["project"]] == ["search"]
        assert told(two_months, project="nobody")["rows"] == []

    def test_a_month_of_nothing_teaches_nothing(self, two_months: Engine) -> None:
        shape = told(two_months, "2025-05")
        assert (shape["rows"], shape["movers"]) == ([], {"project": [], "model": []})
        assert {shape["totals"][name] for name in SAVINGS} == {"0.00"}

    def test_what_cannot_be_asked_is_refused(self, two_months: Engine) -> None:
        with pytest.raises(NotFoundError):
            told(two_months, account="nobody")
        with pytest.raises(InputError, match="write a month as YYYY-MM"):
            told(two_months, "March")
        whole = Scope.checked(month="2025-03")
        with reading(two_months) as connection, pytest.raises(InputError, match="one month of one account; give both"):
            read_lessons(connection, whole, read_edition)


class TestEachByItsOwnTariff:
    def test_two_editions_that_disagree(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a", DAY))  # 1.10 by day and 0.55 by night
        record(engine, an_event("b", DAY))
        post(engine, by=with_other_rate())  # 1.50 and 0.55
        assert missed(engine) == "1.50"

    def test_an_adjustment_takes_back_what_the_closed_month_said(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a", DAY))
        close(engine, "2025-03")
        reprice(
            engine, None, book=with_other_rate(), read_book=read_edition, by="finance", now=at("2025-04-02T00:00:00Z")
        )
        assert missed(engine) == "0.55"
        (row,) = told(engine, "2025-04")["rows"]
        assert (row["calls"], row["cost"], row["off_peak_missed"]) == (0, "0.40", "0.40")  # -0.55 and 0.95

    @pytest.mark.parametrize("basis", ["completion", "start"])
    def test_bands_of_which_none_is_the_cheapest(self, engine: Engine, basis: str) -> None:
        window = '{ band = "night", start = "22:00", end = "06:00", zone = "UTC", days = ["mon", "tue", "wed"] }'
        bands = {
            "day": {"input.cache_hit": "1", "input.cache_miss": "2", "output": "8"},
            "night": {"input.cache_hit": "2", "input.cache_miss": "1", "output": "2"},
        }
        own = a_book(a_tariff(basis=basis, band="day", windows=[window], bands=bands), a_name())
        started: dict[str, Any] = {"started_at": DAY, "model": "demo"}
        record(engine, an_event("a", DAY, hit=MILLION, **started), an_event("b", DAY, hit=MILLION, output=0, **started))
        post(engine, by=own)
        assert missed(engine) == "5.00"  # 9.00 less 4.00; the second is the cheapest by day
        forget_rollups(engine)
        assert missed(engine) == "5.00"


# Months in which a tariff changes on some day at some hour, and what names there were.
MONTHS = {
    "2025-02": ("deepseek-chat", "deepseek-reasoner"),  # bands from the 26th, 16:30 UTC
    "2025-09": ("deepseek-chat", "deepseek-reasoner"),  # none from the 5th, 16:00
    "2026-08": ("deepseek-v4-flash", "deepseek-v4-pro"),  # bands from the 16th, weekends from the 22nd
    "2026-09": ("deepseek-v4-flash", "deepseek-flash", "deepseek-v4-pro"),  # other rates from the 10th
}
ZONES = ("UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/New_York")
CALLS = 120


@pytest.mark.parametrize(("month", "zone", "currency"), [
    (month, zone, currency) for (month, zone), currency in zip(
        [(month, zone) for month in MONTHS for zone in ZONES], ["USD", "CNY"] * 8, strict=True
    )
])  # fmt: skip
def test_pricing_every_call_again_says_the_same(sqlite_url: str, month: str, zone: str, currency: str) -> None:
    engine = open_engine(sqlite_url)
    set_up_account(engine, "default", currency, zone)
    calls = list(random_calls(month, Random(f"{month} {zone}")))
    record_and_post(engine, *calls, now="2026-10-05T00:00:00Z", home=Home(currency, zone))
    expected: dict[tuple[str | None, str], int] = defaultdict(int)
    for call in calls:
        by_band, by_hour = cheapest(book(), call, currency)
        assert by_band == by_hour, call
        expected[call.get("project"), call["model"]] += by_band
    for rolled_up in (True, False):
        found: dict[tuple[str | None, str], int] = defaultdict(int)
        for near in (month, after(month)):  # a zone's month is not that of UTC
            for row in told(engine, near)["rows"]:
                found[row["project"], row["model"]] += usd(row["off_peak_missed"])
        assert found == expected, rolled_up
        forget_rollups(engine)
    assert sum(expected.values()) > 0
    engine.dispose()


def random_calls(month: str, random: Random) -> Iterator[dict[str, Any]]:
    first = at(f"{month}-01T12:00:00Z")
    for number in range(CALLS):
        instant = first + timedelta(seconds=random.randrange(29 * 86_400))
        if number % 5 == 0:  # on the days of change, within hours of it
            day = {"2025-02": 26, "2025-09": 5, "2026-08": 16, "2026-09": 10}[month]
            instant = first.replace(day=day, hour=0) + timedelta(minutes=random.randrange(1_440))
        if month == "2025-02":
            instant = min(instant, at("2025-02-28T12:00:00Z"))
        tokens = {name: random.randrange(10 ** random.randrange(1, 7)) for name in ("hit", "miss", "output")}
        project = random.choice(("search", "chat", None))
        more: dict[str, Any] = {} if project is None else {"project": project}
        yield an_event(
            f"c{number}",
            instant.isoformat().replace("+00:00", "Z"),
            model=random.choice(MONTHS[month]),
            **tokens,
            **more,
        )


def cheapest(prices: PriceBook, call: dict[str, Any], currency: str) -> tuple[int, int]:
    """What a call cost more than in the cheapest band of its tariff by the rates as they are printed, and than at the
    cheapest quarter of an hour of two weeks around it, as far as its tariff was in force."""
    said = call["usage"]
    counts = [said[f"prompt_cache_{kind}_tokens"] for kind in ("hit", "miss")] + [said["completion_tokens"]]
    charged = priced(prices, call, currency, 0)
    if charged is None:  # its model came later
        return 0, 0
    listed = charged.tariff.rates[currency].bands.values()
    meters = ("input.cache_hit", "input.cache_miss", "output")
    sums = [
        sum(Decimal(rates[meter].text) * count for meter, count in zip(meters, counts, strict=True)) for rates in listed
    ]
    others = [priced(prices, call, currency, quarters) for quarters in range(-672, 673)]
    totals = [one.total for one in others if one is not None and one.tariff.tariff_id == charged.tariff.tariff_id]
    return charged.total - int(min(sums) * 10**6), charged.total - min(totals)


def priced(prices: PriceBook, call: dict[str, Any], currency: str, quarters: int) -> Charge | None:
    said = call["usage"]
    tokens = Usage(said["prompt_cache_hit_tokens"], said["prompt_cache_miss_tokens"], said["completion_tokens"], 0)
    completed = at(call["completed_at"]) + timedelta(minutes=15 * quarters)
    found = price_usage(prices, model=call["model"], usage=tokens, completed_at=completed, currency=currency)
    return found if isinstance(found, Charge) else None


def after(month: str) -> str:
    return f"{month[:5]}{int(month[5:]) + 1:02}"


def test_charges_are_read_only_of_days_that_the_rollups_cannot_tell(engine: Engine) -> None:
    peaks = [f"2026-09-{hour}:00:00Z" for hour in ("07T02", "08T02", "09T02", "10T02", "10T07", "11T02")]
    calls = [an_event(f"c{number}", peak, model="deepseek-v4-flash") for number, peak in enumerate(peaks)]
    record_and_post(engine, *calls, now="2026-10-02T00:00:00Z")
    read = []

    def listen(*arguments: Any) -> None:
        if "FROM usage_event JOIN charge" in arguments[2].replace("\n", ""):
            read.append(arguments[3])

    event.listen(engine, "before_cursor_execute", listen)
    assert missed(engine, "2026-09") == "3.84"  # four times 1.32 - 0.66, twice 1.20 - 0.60
    event.remove(engine, "before_cursor_execute", listen)
    assert len(read) == 1, "of the 10th, on which the price changed between two hours of peak"


def test_a_detached_month_before_is_not_compared_with(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    now = "2025-03-10T00:00:00Z"
    make_partitions(engine, now=at(now), ahead=0, since="2025-01")
    record_and_post(engine, an_event("feb", "2025-02-10T12:00:00Z"), an_event("mar", DAY))
    assert told(engine)["movers"]["model"] == []  # 1.10 each
    assert verify(engine) == []
    assert detach_months(engine, before="2025-03", now=at(now)) == ["2025-01", "2025-02"]
    assert told(engine)["movers"] is None
    assert told(engine)["totals"]["off_peak_missed"] == "0.55"
    with pytest.raises(DetachedError):
        told(engine, "2025-02")
    engine.dispose()
