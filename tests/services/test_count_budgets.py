"""Budgets count what is posted, tell each threshold once, and are what the charges say."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, text

from costmeter.core.budgets import format_limit
from costmeter.core.errors import ConflictError, InputError, NotFoundError
from costmeter.core.money import format_amount
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import read_edition
from costmeter.reports.budgets import budget_states
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.post_charges import post_charges
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.remove_budget import remove_budget
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.store import alerts, budget_periods, budgets
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from costmeter.store.tables import AlertRow, BudgetPeriodRow, NoticeRow
from tests.late_prices import with_new_model, with_other_rate
from tests.make import NOW, an_event, at, book, post, record, record_and_post, top_up

FEW = "2025-03-03T12:00:00Z"


def budget(engine: Engine, name: str = "all", *, now: str = NOW, account: str = "default", **more: Any) -> None:
    asked: dict[str, Any] = {"per": "month", "amount": "10.00"} | more
    if "tokens" in asked:
        del asked["amount"]
    add_budget(engine, NewBudget(account, name, **asked), by="root", home=Home(), now=at(now))


def spent(engine: Engine, account: str = "default") -> dict[tuple[str, str], str]:
    """What is spent by budget and period."""
    with reading(engine) as connection:
        found = {one.budget.number: one.budget for one in budgets.in_force(connection, [account])}
        rows = budget_periods.of_account(connection, account)
    return {
        (found[key.number].name, key.starts_at.isoformat()[:16]): format_limit(row.spent, found[key.number].unit)
        for key, row in sorted(rows.items())
    }


def told(engine: Engine) -> list[tuple[str, str, str]]:
    """The notices: event, threshold, and what was spent."""
    with reading(engine) as connection:
        rows = connection.execute(select(NoticeRow.event, NoticeRow.facts).order_by(NoticeRow.notice_id)).all()
    return [(event, facts["threshold"], facts["spent"]) for event, facts in rows]


def price_again(engine: Engine, prices: PriceBook) -> None:
    assert reprice(engine, book=prices, read_book=read_edition, by="root", now=at(NOW))


def found_wrong(engine: Engine) -> list[str]:
    return [finding.what for finding in verify(engine, now=at(NOW), full=True)]


class TestCounting:
    @pytest.mark.parametrize("where", [(), ("user=u-1",)])
    def test_tokens_of_calls_that_were_posted_before(self, engine: Engine, where: tuple[str, ...]) -> None:
        calls = [an_event(f"{n}", FEW, hit=700_000, miss=50_000, output=9_000, user="u-1") for n in range(3)]
        record_and_post(engine, *calls)
        budget(engine, tokens=10**9, where=where, starts_at=at("2025-03-01T00:00:00Z"))
        assert spent(engine) == {("all", "2025-03-01T00:00"): "2277000"}
        assert found_wrong(engine) == []

    def test_by_everything_a_budget_may_filter_by(self, engine: Engine) -> None:
        for name, where in (
            ("all", ()),
            ("search", ("project=search",)),
            ("u-1", ("user=u-1",)),
            ("backend", ("api_key=backend",)),
            ("chat", ("model=deepseek-chat",)),
            ("team-a", ("tag:team=a",)),
            ("both", ("project=search", "tag:team=a")),
        ):
            budget(engine, name, where=where)
        record_and_post(
            engine,
            an_event("a", FEW, project="search", user="u-1", api_key="backend", tags={"team": "a"}),
            an_event("b", FEW, project="search", tags={"team": "b"}),
            an_event("c", FEW, model="deepseek-reasoner", output=2_000_000),
        )
        month = "2025-03-01T00:00"
        assert spent(engine) == {
            ("all", month): "6.58", ("search", month): "2.20", ("u-1", month): "1.10", ("backend", month): "1.10",
            ("chat", month): "2.20", ("team-a", month): "1.10", ("both", month): "1.10",
        }  # fmt: skip
        assert found_wrong(engine) == []

    def test_tokens_of_every_kind(self, engine: Engine) -> None:
        budget(engine, tokens=1_000_000)
        record_and_post(engine, an_event("a", FEW, hit=1, miss=20, output=300))
        assert spent(engine) == {("all", "2025-03-01T00:00"): "321"}

    def test_periods_are_of_the_budgets_zone_and_of_the_completion(self, engine: Engine) -> None:
        budget(engine, per="day", timezone="Asia/Shanghai", starts_at=at("2025-03-01T00:00:00Z"))
        record_and_post(
            engine, an_event("a", "2025-03-03T15:59:59.999999Z"), an_event("b", "2025-03-03T16:00:00Z"),
            an_event("before it began", "2025-02-28T23:59:59Z"),
        )  # fmt: skip
        assert spent(engine) == {("all", "2025-03-02T16:00"): "1.10", ("all", "2025-03-03T16:00"): "1.10"}

    def test_calls_that_are_posted_already_count_at_once(self, engine: Engine) -> None:
        record_and_post(
            engine,
            *(an_event(f"{n}", FEW, project="search", user="u-1") for n in range(9)),
            an_event("of last month", "2025-02-27T12:00:00Z", project="search"),
        )
        budget(engine, "by rollup", where=["project=search"])
        budget(engine, "by charges", where=["user=u-1"])
        month = "2025-03-01T00:00"
        assert spent(engine) == {("by rollup", month): "9.90", ("by charges", month): "9.90"}
        assert told(engine) == [("raised", "80%", "9.90")] * 2

    def test_what_earlier_periods_crossed_before_it_was_there_is_no_news(self, engine: Engine) -> None:
        record_and_post(engine, *(an_event(f"{n}", "2025-02-27T12:00:00Z") for n in range(20)))
        budget(engine, starts_at=at("2025-01-01T00:00:00Z"))
        assert spent(engine) == {("all", "2025-02-01T00:00"): "22.00"}
        assert told(engine) == []

    def test_a_price_that_comes_late_counts_then(self, engine: Engine) -> None:
        budget(engine, amount="2.00")
        record_and_post(engine, an_event("a", FEW, model="deepseek-9"))
        assert spent(engine) == {}
        price_again(engine, with_new_model())
        assert spent(engine) == {("all", "2025-03-01T00:00"): "2.00"}
        assert told(engine) == [("raised", "80%", "2.00"), ("raised", "100%", "2.00")]
        assert found_wrong(engine) == []

    def test_sums_go_past_64_bits(self, engine: Engine) -> None:
        budget(engine, amount="20000000.00", stops=True)
        record_and_post(engine, *(an_event(f"{n}", FEW, output=10**12) for n in range(19)))  # 1.1 million USD each
        assert spent(engine) == {("all", "2025-03-01T00:00"): "20900000.00"}
        assert told(engine) == [("raised", "80%", "20900000.00"), ("raised", "100%", "20900000.00")]
        assert found_wrong(engine) == []


class TestCrossings:
    def test_each_threshold_is_told_once_in_each_period(self, engine: Engine) -> None:
        budget(engine, per="day", thresholds=["50%", "80%", "100%", "3.00"], starts_at=at("2025-03-01T00:00:00Z"))
        for n in range(12):
            record_and_post(engine, an_event(f"a{n}", "2025-03-03T12:00:00Z"), now="2025-03-03T13:00:00Z")
        assert told(engine) == [
            ("raised", "3.00", "3.30"), ("raised", "50%", "5.50"), ("raised", "80%", "8.80"),
            ("raised", "100%", "11.00"),
        ]  # fmt: skip
        for n in range(3):
            record_and_post(engine, an_event(f"b{n}", "2025-03-04T12:00:00Z"), now="2025-03-04T13:00:00Z")
        assert told(engine)[4:] == [("raised", "3.00", "3.30")]

    def test_exactly_at_the_threshold_is_crossed(self, engine: Engine) -> None:
        budget(engine, amount="2.20", thresholds=["100%"])
        record_and_post(engine, an_event("a", FEW))
        assert told(engine) == []
        record_and_post(engine, an_event("b", FEW))
        assert told(engine) == [("raised", "100%", "2.20")]

    def test_a_late_call_that_crosses_a_past_period_says_so(self, engine: Engine) -> None:
        budget(engine, per="day", amount="1.00", thresholds=["100%"], starts_at=at("2025-03-01T00:00:00Z"))
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), now="2025-03-03T13:00:00Z")
        record_and_post(engine, an_event("b", "2025-03-04T12:00:00Z"), now="2025-03-06T13:00:00Z")
        with reading(engine) as connection:
            found = {one.period: one.facts["is_late"] for one in alerts.listed(connection, limit=9)}
        assert found == {"2025-03-03T00:00:00Z": False, "2025-03-04T00:00:00Z": True}

    def test_the_facts_say_what_how_much_of_how_much_and_when(self, engine: Engine) -> None:
        budget(engine, "search", where=["project=search"], timezone="Asia/Shanghai", channels=["ops"])
        record_and_post(engine, *(an_event(f"{n}", FEW, project="search") for n in range(8)))
        with reading(engine) as connection:
            (row,) = connection.execute(select(NoticeRow.kind, NoticeRow.subject, NoticeRow.channels, NoticeRow.facts))
        assert row == (
            "budget", "budget 1", ["ops"],
            {"budget": "search", "number": 1, "filters": {"project": "search"}, "unit": "USD", "spent": "8.80",
             "amount": "10.00", "threshold": "80%", "per": "month", "timezone": "Asia/Shanghai",
             "from": "2025-02-28T16:00:00Z", "to": "2025-03-31T16:00:00Z", "is_late": False, "stops": False},
        )  # fmt: skip

    def test_a_cheaper_price_recovers_it_and_a_dearer_one_does_not_tell_it_twice(self, engine: Engine) -> None:
        budget(engine, thresholds=["80%"])
        record(engine, *(an_event(f"{n}", FEW) for n in range(6)))
        post(engine, by=with_other_rate())
        for prices, sum_, stands in ((book(), "6.60", False), (with_other_rate(), "9.00", True)):
            price_again(engine, prices)
            assert spent(engine) == {("all", "2025-03-01T00:00"): sum_}
            with reading(engine) as connection:
                assert bool(alerts.standing(connection, "default", "budget 1")) is stands
        assert told(engine) == [("raised", "80%", "9.00"), ("recovered", "80%", "6.60")]
        assert found_wrong(engine) == []

    def test_credits_and_voids_move_no_budget(self, engine: Engine) -> None:
        budget(engine)
        record_and_post(engine, an_event("a", FEW))
        before = spent(engine)
        top_up(engine, "5.00", "2025-03-01T00:00:00Z", reference="late")
        assert spent(engine) == before
        assert found_wrong(engine) == []


class TestAddingAndRemoving:
    def test_the_same_again_changes_nothing_another_is_refused(self, engine: Engine) -> None:
        budget(engine)
        budget(engine, now="2025-04-02T00:00:00Z")
        with pytest.raises(ConflictError, match="is another budget already"):
            budget(engine, amount="20.00")
        with reading(engine) as connection:
            assert len(budgets.in_force(connection)) == 1

    def test_a_removed_one_counts_no_more_and_its_name_is_free(self, engine: Engine) -> None:
        budget(engine)
        record_and_post(engine, an_event("a", FEW))
        remove_budget(engine, "default", "all", by="root", now=at(NOW))
        record_and_post(engine, an_event("b", FEW))
        assert spent(engine) == {}
        budget(engine, amount="2.00")
        assert spent(engine) == {("all", "2025-03-01T00:00"): "2.20"}
        with pytest.raises(NotFoundError, match="no budget 'other'"):
            remove_budget(engine, "default", "other", by="root", now=at(NOW))

    def test_an_amount_or_tokens_and_not_both(self, engine: Engine) -> None:
        for more in ({"amount": None}, {"amount": "1.00", "tokens": 5}):
            new = NewBudget("default", "x", "month", **more)
            with pytest.raises(InputError, match="either an amount or tokens"):
                add_budget(engine, new, by="root", home=Home(), now=at(NOW))

    def test_two_processes_that_add_one_name_make_one(self, engine: Engine) -> None:
        threads = [threading.Thread(target=budget, args=(engine,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with reading(engine) as connection:
            assert len(budgets.in_force(connection)) == 1

    def test_the_state_of_a_budget(self, engine: Engine) -> None:
        budget(engine, "now")
        budget(engine, "later", starts_at=at("2025-05-01T00:00:00Z"))
        record_and_post(engine, *(an_event(f"{n}", FEW) for n in range(8)))
        with reading(engine) as connection:
            later, now = budget_states(connection, ["default"], at(NOW))
        assert (later["period"], later["spent"], later["used_percent"]) == (None, None, None)
        assert now["period"] == {"from": "2025-03-01T00:00:00Z", "to": "2025-04-01T00:00:00Z"}
        assert [now[key] for key in ("spent", "reserved", "left", "used_percent", "crossed")] == [
            "8.80", "0.00", "1.20", "88.0", ["80%"]
        ]  # fmt: skip


class TestProjection:
    def test_a_row_that_is_wrong_is_found_and_rebuilt(self, engine: Engine) -> None:
        budget(engine)
        record_and_post(engine, an_event("a", FEW))
        with engine.begin() as connection:
            connection.execute(text("UPDATE budget_period SET spent = 5"))
        (what,) = found_wrong(engine)
        assert what == (
            "budget 'all' has spent 0.000000000005 USD in its period from 2025-03-01T00:00:00Z, its charges give 1.10"
        )

    def test_rebuilding_counts_anew_and_tells_nothing(self, engine: Engine) -> None:
        budget(engine, per="day", starts_at=at("2025-03-01T00:00:00Z"), amount="1.00")
        record_and_post(engine, an_event("a", FEW), an_event("b", "2025-03-04T12:00:00Z"))
        before, notices = spent(engine), told(engine)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM budget_period WHERE number = 1"))
            values = {"account": "default", "number": 1, "starts_at": at("2025-03-09T00:00:00Z")}
            connection.execute(insert(BudgetPeriodRow), {**values, "spent": 7, "room": 0, "reserved": 3})
        rebuild_projections(engine, ["default"])
        assert spent(engine) == before | {("all", "2025-03-09T00:00"): "0.00"}
        assert told(engine) == notices
        with reading(engine) as connection:
            kept = budget_periods.of_account(connection, "default")
        assert {row.reserved for row in kept.values()} == {0}  # nothing is reserved by anybody


class TestManyAtOnce:
    @pytest.mark.parametrize("posters", [8])
    def test_64_postings_around_each_threshold_tell_it_once(self, engine: Engine, posters: int) -> None:
        """Each call is a posting of its own, by whichever thread comes first; thresholds at every call."""
        budget(engine, amount="70.40", thresholds=[format_amount(n * 1_100_000_000_000) for n in range(1, 65)])
        names = [f"{n}" for n in range(64)]
        failed: list[BaseException] = []

        def record_some(some: list[str]) -> None:
            try:
                for name in some:
                    record(engine, an_event(name, FEW))
                    post_charges(engine, "default", book=book(), now=at(NOW))
            except BaseException as error:  # noqa: BLE001  told by the test
                failed.append(error)

        threads = [threading.Thread(target=record_some, args=(names[n::posters],)) for n in range(posters)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert post(engine) == 0
        assert spent(engine) == {("all", "2025-03-01T00:00"): "70.40"}
        with reading(engine) as connection:
            assert connection.scalar(select(func.count()).select_from(AlertRow)) == 64
        assert sorted(threshold for _, threshold, _ in told(engine)) == sorted(
            format_amount(n * 1_100_000_000_000) for n in range(1, 65)
        )
        assert found_wrong(engine) == []
