"""Months that are detached: the books hold without them, nothing tells a smaller number, and they come back whole."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from costmeter.core.errors import DetachedError, InputError, SetupError
from costmeter.core.money import format_amount
from costmeter.core.periods import Period
from costmeter.exports.charges import CHARGES
from costmeter.prices.read import read_edition
from costmeter.reports.spend import spend_report
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.detach_months import attach_month, detach_months
from costmeter.services.make_partitions import make_partitions
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store import accounts, balances, budget_periods, detached
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.scope import Scope
from costmeter.store.tables import DetachedRow, EventRow, QuarantineRow
from tests.make import (
    an_event,
    an_unmetered,
    at,
    balance,
    book,
    counted,
    give,
    outcome,
    record,
    record_and_post,
    rows,
    splits,
    top_up,
)
from tests.services.invariants import check_books

NOW = "2025-03-10T00:00:00Z"
JANUARY, FEBRUARY, MARCH = ("2025-01-10T12:00:00Z", "2025-02-10T12:00:00Z", "2025-03-05T12:00:00Z")


@pytest.fixture
def books(postgres_url: str) -> Iterator[Engine]:
    """Three months of two accounts, in month partitions; not verified yet."""
    engine = open_engine(postgres_url)
    make_partitions(engine, now=at(NOW), ahead=0, since="2025-01")
    top_up(engine, "2.00", "2025-01-01T00:00:00Z", reference="first")
    top_up(engine, "9.00", "2025-03-01T00:00:00Z", reference="march")
    record_and_post(engine, an_event("jan", JANUARY), an_event("feb", FEBRUARY), an_event("mar", MARCH))
    record_and_post(engine, an_event("else", JANUARY, account="other"), an_unmetered("u", FEBRUARY, account="other"))
    yield engine
    engine.dispose()


@pytest.fixture
def away(books: Engine) -> Engine:
    """The same, with January and February detached."""
    assert verify(books) == []
    assert detach(books) == ["2025-01", "2025-02"]
    return books


def detach(engine: Engine, before: str = "2025-03", **more: Any) -> list[str]:
    return detach_months(engine, before=before, now=at(NOW), **more)


def total(engine: Engine, **scope: Any) -> Decimal:
    with reading(engine) as connection:
        totals = spend_report(connection, Scope.checked(**scope)).as_dict()["totals"]
    return Decimal(totals["cost"])


def is_free_to_detach(engine: Engine) -> bool:
    """Whether the lock that a detach begins by could be had now."""
    with engine.connect() as connection:
        try:
            connection.execute(text("LOCK TABLE detached_month IN EXCLUSIVE MODE NOWAIT"))
        except OperationalError:
            return False
    return True


def test_no_month_is_detached_between_the_look_at_its_calls_and_the_commit_of_what_changes_them(books: Engine) -> None:
    """Else a credit finds that it changes nothing, of calls that have just left."""
    assert verify(books) == []
    free: list[bool] = []

    @event.listens_for(books, "before_cursor_execute")
    def _on_look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM charge" in statement:
            free.append(is_free_to_detach(books))

    top_up(books, "1.00", "2025-01-02T00:00:00Z", reference="late", now=NOW)
    looks = len(free)
    void_credit(books, "default", "first", reason="a mistake", by="Ada", now=at(NOW))
    assert 0 < looks < len(free)
    assert not any(free)
    assert is_free_to_detach(books)
    with pytest.raises(SetupError, match="a ledger is not verified beyond it"):
        detach(books)


def test_a_detach_waits_for_a_credit_that_is_on_its_way(books: Engine) -> None:
    assert verify(books) == []
    with books.begin() as connection:
        detached.refuse_change(connection, ["default"], Period(at(JANUARY), None))
        with books.connect() as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            with pytest.raises(OperationalError, match="lock timeout"):
                detached.alone(other)
    assert detach(books) == ["2025-01", "2025-02"]


class TestDetach:
    def test_the_rows_leave_and_the_ledger_stays(self, books: Engine) -> None:
        assert verify(books) == []
        before = balance(books)
        kept = ("identity", "credit", "credit_balance", "journal_entry", "journal_line", "account", "repayment")
        with reading(books) as connection:
            stood = [connection.execute(text(f"SELECT * FROM {name} ORDER BY 1, 2")).all() for name in kept]

        assert detach(books) == ["2025-01", "2025-02"]

        with reading(books) as connection:
            assert [connection.execute(text(f"SELECT * FROM {n} ORDER BY 1, 2")).all() for n in kept] == stood
            assert detached.detached_months(connection) == ["2025-01", "2025-02"]
            assert detached.detached_months(connection, ["nobody"]) == []
            assert connection.scalar(text("SELECT count(*) FROM usage_event_2025_01")) == 2
        assert [row["event_id"] for row in rows(books, EventRow)] == ["mar"]
        assert balance(books) == before == ("0.00", "8.52")

    def test_a_dry_run_changes_nothing(self, books: Engine) -> None:
        verify(books)
        assert detach(books, dry_run=True) == ["2025-01", "2025-02"]
        assert counted(books, EventRow, DetachedRow) == [5, 0]

    def test_what_is_not_verified_stays_and_is_named(self, books: Engine) -> None:
        verify(books, ["default"])
        for dry_run in (True, False):
            with pytest.raises(SetupError, match=r"2025-01 is not detached, as a ledger is not verified .*: other$"):
                detach(books, dry_run=dry_run)
        record_and_post(books, an_event("late", JANUARY))
        with pytest.raises(SetupError, match=r"account: default, other$"):
            detach(books)
        assert counted(books, DetachedRow) == [0]

    def test_a_credit_that_verify_has_not_seen_may_reach_back(self, books: Engine) -> None:
        verify(books)
        give(books, "granted", "0.10", "2025-03-09T00:00:00Z")
        with pytest.raises(SetupError, match=r"account: default$"):
            detach(books)

    def test_what_came_after_the_checkpoint_and_later_does_not_matter(self, books: Engine) -> None:
        verify(books)
        record_and_post(books, an_event("more", "2025-03-06T12:00:00Z"))
        assert detach(books) == ["2025-01", "2025-02"]
        assert verify(books) == []

    def test_calls_that_wait_stay(self, books: Engine) -> None:
        verify(books)
        record(books, an_event("waits", FEBRUARY))
        with pytest.raises(SetupError, match=r"2025-02 is not detached, as calls of it wait to be posted .*: default$"):
            detach(books)
        with reading(books) as connection:
            assert detached.detached_months(connection) == ["2025-01"]

    def test_open_items_stay(self, books: Engine) -> None:
        record(books, an_event("bad", JANUARY, model=None))
        verify(books)
        with pytest.raises(SetupError, match=r"2025-01 is not detached, as items of it are open .*: default$"):
            detach(books)

    def test_this_month_stays(self, books: Engine) -> None:
        with pytest.raises(InputError, match="before '2025-04': the month of now, 2025-03"):
            detach(books, before="2025-04")

    def test_sqlite_has_no_partitions(self, sqlite_url: str) -> None:
        engine = open_engine(sqlite_url)
        with pytest.raises(SetupError, match="partitions are PostgreSQL's"):
            detach(engine)
        with pytest.raises(SetupError, match="partitions are PostgreSQL's"):
            attach_month(engine, "2025-01")
        engine.dispose()


class TestBudgets:
    def test_those_that_begin_before_keep_what_they_counted(self, books: Engine) -> None:
        for name, start in (("year", "2025-01-01T00:00:00Z"), ("march", "2025-03-01T00:00:00Z")):
            per = "year" if name == "year" else "month"
            new = NewBudget("default", name, per, "10.00", starts_at=at(start))
            add_budget(books, new, by="root", home=Home(), now=at(NOW))
        assert verify(books) == []
        detach(books)
        with reading(books) as connection:
            before = budget_periods.of_account(connection, "default")
        assert sorted(format_amount(row.spent) for row in before.values()) == [
            "1.10",
            "2.48",
        ]  # in January output cost 0.28
        record_and_post(books, an_event("late in march", MARCH), now=NOW)
        assert verify(books, full=True) == []
        with reading(books) as connection:
            after = budget_periods.of_account(connection, "default")
        assert sorted(format_amount(row.spent) for row in after.values()) == ["2.20", "3.58"]

    def test_none_begins_in_a_month_that_is_away(self, away: Engine) -> None:
        new = NewBudget("default", "year", "year", "10.00", starts_at=at("2025-01-01T00:00:00Z"))
        with pytest.raises(DetachedError, match="2025-02"):
            add_budget(away, new, by="root", home=Home(), now=at(NOW))


class TestVerify:
    def test_it_is_no_damage(self, away: Engine) -> None:
        assert verify(away) == []
        assert verify(away, full=True) == []

    def test_posting_goes_on_and_is_verified(self, away: Engine) -> None:
        record_and_post(away, an_event("more", "2025-03-06T12:00:00Z"), an_event("late", JANUARY))
        assert verify(away) == []
        assert verify(away, full=True) == []
        assert balance(away) == ("0.00", "7.14")

    def test_what_is_folded_again_later_is_verified_from_there(self, away: Engine) -> None:
        give(away, "granted", "0.50", "2025-03-05T00:00:00Z", reference="grant")
        assert splits(away)["mar"] == ("0.50", "0.60", "0.00", "0.00")
        assert verify(away, full=True) == []
        void_credit(away, "default", "grant", reason="twice", by="Ada", now=at(NOW))
        assert verify(away, full=True) == []
        assert verify(away) == []
        assert splits(away)["mar"] == ("0.00", "1.10", "0.00", "0.00")

    def test_damage_behind_it_is_still_found(self, away: Engine) -> None:
        record_and_post(away, an_event("more", "2025-03-06T12:00:00Z"))
        with away.begin() as connection:
            connection.execute(text("ALTER TABLE charge DISABLE TRIGGER charge_only_added"))
            connection.execute(text("ALTER TABLE charge_2025_03 DISABLE TRIGGER charge_only_added"))
            connection.execute(text("DELETE FROM charge WHERE account = 'default' AND seq = 6"))
        assert verify(away, full=True) != []


class TestAnswers:
    @pytest.mark.parametrize(
        "scope",
        [
            {"month": "2025-01"},
            {"month": "2025-02", "account": "other"},  # only an unmetered call, which is a doubt of the report
            {"start": at("2025-02-01T00:00:00Z"), "end": at("2025-04-01T00:00:00Z")},
        ],
    )
    def test_a_report_or_export_over_a_detached_month_says_so(self, away: Engine, scope: Any) -> None:
        with pytest.raises(DetachedError, match=r"detached since .*; first: costmeter db attach 2025-0"):
            total(away, **scope)
        with reading(away) as connection, pytest.raises(DetachedError):
            CHARGES.rows(connection, Scope.checked(**scope))

    def test_other_months_answer(self, away: Engine) -> None:
        assert total(away, month="2025-03") == Decimal("1.10")
        assert total(away, start=at("2025-02-11T00:00:00Z"), end=at("2025-04-01T00:00:00Z")) == Decimal("1.10")

    @pytest.mark.parametrize("when", ["2025-01-05T00:00:00Z", "2025-01-20T00:00:00Z", "2025-02-20T00:00:00Z", NOW])
    def test_a_balance_is_the_one_before(self, books: Engine, when: str) -> None:
        before = balance(books, when)
        verify(books)
        detach(books)
        assert balance(books, when) == before

    def test_a_balance_amid_the_calls_of_a_detached_month_is_refused(self, books: Engine) -> None:
        record_and_post(books, an_event("second", "2025-01-20T12:00:00Z"))
        verify(books)
        detach(books)
        with pytest.raises(DetachedError, match="2025-01"):
            balance(books, "2025-01-15T00:00:00Z")

    def test_a_balance_as_known_before_the_calls_were_booked_is_refused(self, away: Engine) -> None:
        with reading(away) as connection, pytest.raises(DetachedError):
            balances.balance_at(connection, accounts.get(connection, "default"), at(NOW), at("2025-03-01T00:00:00Z"))

    def test_calls_that_are_sent_again_are_known(self, away: Engine) -> None:
        assert outcome(record(away, an_event("jan", JANUARY), an_event("mar", MARCH))) == (0, 2, 0, 0)
        assert outcome(record(away, an_event("jan", MARCH))) == (0, 0, 1, 0)
        assert "2025-01, which is detached; costmeter db attach 2025-01" in rows(away, QuarantineRow)[0]["error"]


class TestFoldingAgain:
    def test_a_credit_that_would_have_paid_detached_calls_is_refused(self, away: Engine) -> None:
        before = counted(away, DetachedRow)
        for effective_at in ("2024-12-01T00:00:00Z", FEBRUARY):
            with pytest.raises(DetachedError, match="costmeter db attach 2025-02"):
                give(away, "granted", "1.00", effective_at)
        assert counted(away, DetachedRow) == before
        give(away, "granted", "1.00", "2025-02-10T12:00:00.000001Z")
        assert verify(away, full=True) == []

    def test_so_is_a_void(self, away: Engine) -> None:
        with pytest.raises(DetachedError, match="costmeter db attach 2025-01 and costmeter db attach 2025-02"):
            void_credit(away, "default", "first", reason="twice", by="Ada", now=at(NOW))

    @pytest.mark.parametrize("month", [None, "2025-02"])
    def test_so_is_repricing(self, away: Engine, month: str | None) -> None:
        with pytest.raises(DetachedError):
            reprice(away, ["default"], book=book(), read_book=read_edition, by="finance", now=at(NOW), month=month)
        assert (
            reprice(away, ["default"], book=book(), read_book=read_edition, by="finance", now=at(NOW), month="2025-03")
            == {}
        )


class TestAttach:
    def test_a_month_comes_back_whole_with_what_came_meanwhile(self, away: Engine) -> None:
        record_and_post(away, an_event("late", JANUARY))
        attach_month(away, "2025-01")
        assert total(away, month="2025-01", account="default") == Decimal("0.56")
        with reading(away) as connection:
            assert detached.detached_months(connection) == ["2025-02"]
        attach_month(away, "2025-02")
        assert verify(away, full=True) == []
        check_books(away)
        assert counted(away, EventRow, DetachedRow) == [6, 0]

    def test_it_can_be_detached_again(self, away: Engine) -> None:
        attach_month(away, "2025-01")
        verify(away)
        assert detach(away) == ["2025-01"]

    def test_what_is_attached_cannot_be(self, away: Engine) -> None:
        with pytest.raises(SetupError, match="2025-03 is attached already"):
            attach_month(away, "2025-03")

    def test_what_was_dropped_is_to_be_restored(self, away: Engine) -> None:
        with away.begin() as connection:
            connection.execute(text("DROP TABLE charge_2025_01"))
        with pytest.raises(SetupError, match="charge_2025_01 of 2025-01 is not there; restore it"):
            attach_month(away, "2025-01")
        assert verify(away, full=True) == []

    def test_a_detached_month_is_not_made_anew(self, away: Engine) -> None:
        assert make_partitions(away, now=at(NOW), ahead=0, since="2025-01") == []
