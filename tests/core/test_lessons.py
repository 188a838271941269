"""What a token costs more than in the cheapest band, what moved, and shares: worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from costmeter.core.lessons import MOVERS, Group, Lessons, Tokens, excess, excess_between, missed, percent
from costmeter.core.periods import Period, month_before
from costmeter.core.price_book import PriceBook, RateList
from tests.books import a_book, a_name, a_tariff
from tests.make import at, book, usd

NIGHT = '{ band = "night", start = "22:00", end = "06:00", zone = "UTC", days = ["mon", "tue", "wed", "thu", "fri"] }'
MILLION = 1_000_000


def rates(hit: str | None, miss: str, output: str) -> dict[str, str]:
    found = {"input.cache_hit": hit, "input.cache_miss": miss, "output": output}
    return {meter: rate for meter, rate in found.items() if rate is not None}


def with_bands(bands: Mapping[str, Mapping[str, str]], **more: Any) -> PriceBook:
    return a_book(a_tariff(band="day", windows=[NIGHT], bands=bands, **more), a_name())


def listed(book: PriceBook) -> RateList:
    return book.tariffs[0].rates["USD"]


CHEAP_NIGHT = {"day": rates("1", "2", "8"), "night": rates("0.5", "1", "2")}
CROSSED = {"day": rates("1", "2", "8"), "night": rates("2", "1", "2")}  # by night hits are dearer


class TestExcess:
    def test_it_is_what_each_meter_costs_more(self) -> None:
        list_of_rates = listed(with_bands(CHEAP_NIGHT))
        assert excess(list_of_rates, "day") == (500_000, 1_000_000, 6_000_000)
        assert excess(list_of_rates, "night") == (0, 0, 0)

    def test_a_flat_tariff_has_none(self) -> None:
        assert excess(listed(a_book(a_tariff(), a_name())), "flat") == (0, 0, 0)

    def test_a_meter_that_no_band_lists_has_none(self) -> None:
        bands = {"day": rates(None, "2", "8"), "night": rates(None, "1", "2")}
        assert excess(listed(with_bands(bands)), "day") == (0, 1_000_000, 6_000_000)

    @pytest.mark.parametrize("bands", [CROSSED, {"day": rates("1", "2", "8"), "night": rates(None, "1", "2")}])
    def test_where_it_depends_on_the_call_it_is_not_told(self, bands: dict[str, dict[str, str]]) -> None:
        assert excess(listed(with_bands(bands)), "day") is None


@pytest.mark.parametrize(
    ("bands", "tokens", "amount"),
    [
        (CHEAP_NIGHT, (MILLION, MILLION, MILLION), "7.5"),
        (CROSSED, (MILLION, 0, 0), "0.00"),  # the day is the cheapest for it
        (CROSSED, (MILLION, MILLION, 0), "0.00"),  # 3.00 either way
        (CROSSED, (MILLION, MILLION, MILLION), "6.00"),  # 11.00 less 5.00
        (
            {"day": rates("1", "2", "8"), "night": rates(None, "1", "2")},
            (MILLION, MILLION, 0),
            "0.00",
        ),  # no price by night
        ({"day": rates("1", "2", "8"), "night": rates(None, "1", "2")}, (0, MILLION, 0), "1.00"),
    ],
)
def test_a_call_missed_what_its_cheapest_possible_band_costs_less(
    bands: dict[str, dict[str, str]], tokens: Tokens, amount: str
) -> None:
    assert missed(listed(with_bands(bands)), "day", tokens) == usd(amount)


class TestExcessBetween:
    def test_of_a_day_within_one_tariff_it_is_known(self) -> None:
        day = Period(at("2025-03-03T00:00:00Z"), at("2025-03-04T00:00:00Z"))
        told = excess_between([book()], "deepseek-chat", "USD", "standard", day)
        assert told == (35_000, 135_000, 550_000)  # 0.07 - 0.035, 0.27 - 0.135 and 1.10 - 0.55 a million
        assert excess_between([book()], "deepseek-chat", "USD", "off_peak", day) == (0, 0, 0)
        assert excess_between([book(), book()], "deepseek-chat", "CNY", "standard", day) == (
            250_000,
            1_000_000,
            4_000_000,
        )

    def test_of_a_day_on_which_the_tariff_changes_only_where_both_agree(self) -> None:
        day = Period(at("2026-08-16T00:00:00Z"), at("2026-08-17T00:00:00Z"))
        day_of_change = Period(at("2026-09-10T00:00:00Z"), at("2026-09-11T00:00:00Z"))
        assert excess_between([book()], "deepseek-v4-flash", "USD", "flat", day) == (0, 0, 0)
        assert excess_between([book()], "deepseek-v4-flash", "USD", "peak", day_of_change) is None
        assert excess_between([book()], "deepseek-v4-flash", "USD", "off_peak", day_of_change) == (0, 0, 0)

    def test_editions_that_disagree_do_not_tell(self) -> None:
        day = Period(at("2025-03-03T00:00:00Z"), at("2025-03-04T00:00:00Z"))
        dearer = {"day": rates("1", "2", "9"), "night": rates("0.5", "1", "2")}
        one, other = with_bands(CHEAP_NIGHT), with_bands(dearer)
        assert excess_between([one, one], "demo", "USD", "day", day) == (500_000, 1_000_000, 6_000_000)
        assert excess_between([one, other], "demo", "USD", "day", day) is None
        assert excess_between([one, other], "demo", "USD", "night", day) == (0, 0, 0)

    def test_a_tariff_that_goes_by_the_start_does_not_tell(self) -> None:
        day = Period(at("2025-03-03T00:00:00Z"), at("2025-03-04T00:00:00Z"))
        by_start = with_bands(CHEAP_NIGHT, basis="start", end="2025-06-01T00:00:00Z")
        assert excess_between([by_start], "demo", "USD", "day", day) is None
        later = Period(at("2025-06-02T00:00:00Z"), at("2025-06-03T00:00:00Z"))
        assert excess_between([by_start], "demo", "USD", "day", later) is None, "no tariff at all"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(1, 3, "33.33"), (2, 3, "66.67"), (0, 5, "0.00"), (5, 5, "100.00"), (-1, 4, "-25.00"), (1, 0, None), (1, -4, None),
     (1, 80_000, "0.00"), (3, 80_000, "0.00"), (5, 80_000, "0.01"), (1, 20_000, "0.00"), (3, 20_000, "0.02"),
     (12 * 10**30, 10**30, "1200.00")],
)  # fmt: skip
def test_a_share_has_two_decimals_half_to_even(part: int, whole: int, text: str | None) -> None:
    assert percent(part, whole) == text


def test_the_month_before() -> None:
    assert [month_before(month) for month in ("2026-11", "2026-01", "2026-10")] == ["2026-10", "2025-12", "2026-09"]


def a_row(cost: str) -> dict[str, int]:
    names = ("unpriced", "cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens")
    money = ("cache_savings", "off_peak_savings", "off_peak_missed")
    return {"calls": 1, "cost": usd(cost)} | dict.fromkeys((*names, *money), 0)


NOW = {Group("a", "m"): a_row("3.00"), Group("a", "n"): a_row("1.00"), Group(None, "m"): a_row("2.00")}
BEFORE = {Group("a", "m"): usd("1.00"), Group("b", "m"): usd("5.00"), Group(None, "m"): usd("2.00")}


def a_mover(name: str, before: str, now: str, change: str, percentage: str | None, state: str) -> dict[str, Any]:
    amounts = {"before": before, "now": now, "change": change}
    return {"name": name, **amounts, "change_percent": percentage, "state": state}


class TestMovers:
    def told(self, before: dict[Group, int] | None = BEFORE) -> Any:
        return Lessons("default", "2026-01", "USD", NOW, before).as_dict()

    def test_they_are_told_by_how_much_they_moved_whichever_way(self) -> None:
        assert self.told()["month_before"] == "2025-12"
        assert self.told()["movers"] == {
            "project": [
                a_mover("b", "5.00", "0.00", "-5.00", "-100.00", "gone"),
                a_mover("a", "1.00", "4.00", "3.00", "300.00", "changed"),
            ],
            "model": [
                a_mover("m", "8.00", "5.00", "-3.00", "-37.50", "changed"),
                a_mover("n", "0.00", "1.00", "1.00", None, "new"),
            ],
        }

    def test_without_the_month_before_there_are_none(self) -> None:
        assert self.told(None)["movers"] is None
        assert [one["state"] for one in self.told({})["movers"]["project"]] == ["new", "new"]

    def test_only_the_first_are_told(self) -> None:
        rows = {Group(f"p{number:02}", "m"): a_row(f"{number}.00") for number in range(MOVERS + 5)}
        movers = Lessons("default", "2026-01", "USD", rows, {}).movers("project")
        assert [one.name for one in movers] == [f"p{number:02}" for number in range(MOVERS + 4, 4, -1)]

    def test_rows_stand_by_project_and_model(self) -> None:
        assert [(row["project"], row["model"]) for row in self.told()["rows"]] == [(None, "m"), ("a", "m"), ("a", "n")]
        assert self.told()["totals"]["cost"] == "6.00"
