"""Closing a month, worked out by hand. A call costs 1.10 USD."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from costmeter.core.errors import InputError, NotClosableError, NotFoundError
from costmeter.prices.read import read_edition
from costmeter.services.close_month import close_month
from costmeter.services.reconcile_balance import reconcile_balance
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store import accounts, closings
from costmeter.store.closings import Closing
from costmeter.store.engine import open_engine, reading
from costmeter.store.statements import read_statement
from costmeter.store.tables import ChargeRow, ClosingRow, EntryRow, PeriodRow
from tests.late_prices import with_new_model, with_other_rate
from tests.make import (
    an_event,
    at,
    balance,
    book,
    counted,
    grant,
    post,
    record,
    record_and_post,
    rows,
    set_up_account,
    splits,
    top_up,
)
from tests.services.invariants import check_books

OPENING = "2025-03-01T00:00:00Z"
APRIL = "2025-04-05T00:00:00Z"
MAY = "2025-05-05T00:00:00Z"
GRACE = timedelta(hours=72)
NOTHING = "0.00"


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the books hold and replay afterwards."""
    yield
    check_books(engine)
    assert verify(engine, full=True) == []


def close(engine: Engine, month: str = "2025-03", now: str = APRIL, reason: str | None = None) -> Closing:
    return close_month(engine, "default", month, by="Ada", reason=reason, grace=GRACE, now=at(now))[0]


def refused(engine: Engine, month: str = "2025-03", now: str = APRIL, reason: str | None = None) -> list[str]:
    with pytest.raises(NotClosableError) as error:
        close(engine, month, now, reason)
    return error.value.blockers


def statement(engine: Engine, month: str = "2025-03", now: str = APRIL) -> dict[str, Any]:
    with reading(engine) as connection:
        return read_statement(connection, accounts.get(connection, "default"), month, at(now)).as_dict()


def observe(engine: Engine, topped_up: str) -> None:
    """DeepSeek says what is left."""
    info = {"currency": "USD", "total_balance": topped_up, "granted_balance": "0.00", "topped_up_balance": topped_up}
    body = {"is_available": True, "balance_infos": [info]}
    reconcile_balance(engine, "default", lambda: body, book=book(), clock=lambda: at(APRIL))


def pair(granted: str, topped_up: str, total: str) -> dict[str, str]:
    return {"granted": granted, "topped_up": topped_up, "total": total}


class TestWhatItKeeps:
    def test_the_statement_as_it_stood(self, engine: Engine) -> None:
        grant(engine, "1.50", OPENING, "2025-03-20T00:00:00Z", reference="welcome")
        top_up(engine, "5.00", OPENING, reference="invoice 1")
        record_and_post(engine, an_event("a"), an_event("b", "2025-03-04T12:00:00Z", project="search"))
        post(engine, now=APRIL)
        closing = close(engine)
        shape = json.loads(closing.statement)
        assert shape["opening"] == pair(NOTHING, NOTHING, NOTHING)
        assert {row["kind"]: (row["granted"], row["topped_up"]) for row in shape["movements"]} == {
            "credit": ("1.50", "5.00"),
            "usage": ("-1.50", "-0.70"),
        }
        assert shape["closing_balance"] == pair(NOTHING, "4.30", "4.30")
        assert shape["deductions"] == {
            "cost": "2.20", "granted": "1.50", "topped_up": "0.70", "overdraft": NOTHING, "untracked": NOTHING,
        }  # fmt: skip
        assert [(row["model"], row["band"], row["calls"], row["cost"]) for row in shape["usage"]] == [
            ("deepseek-chat", "standard", 2, "2.20")
        ]
        assert [row["name"] for row in shape["showback"]["project"]] == [None, "search"]
        assert (shape["state"], shape["counts"]["calls"]) == ("closed", 2)

    def test_what_expired_of_a_grant(self, engine: Engine) -> None:
        grant(engine, "1.50", OPENING, "2025-03-20T00:00:00Z", reference="welcome")
        record_and_post(engine, an_event("a"))
        post(engine, now=APRIL)
        shape = json.loads(close(engine).statement)
        assert [(row["kind"], row["granted"]) for row in shape["movements"]] == [
            ("credit", "1.50"), ("usage", "-1.10"), ("expiry", "-0.40"),
        ]  # fmt: skip
        assert [(row["reference"], row["amount"]) for row in shape["expiries"]] == [("welcome", "0.40")]
        assert shape["closing_balance"]["total"] == NOTHING

    def test_a_manifest_that_names_the_statement_and_the_month_before(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("a"), an_event("b", "2025-04-03T12:00:00Z"), now=APRIL)
        march, april = close(engine), close(engine, "2025-04", MAY)
        for closing in (march, april):
            manifest = json.loads(closing.manifest)
            assert hashlib.sha256(closing.manifest.encode()).hexdigest() == closing.sha256
            assert hashlib.sha256(closing.statement.encode()).hexdigest() == manifest["statement_sha256"]
            assert manifest["editions"] == [book().edition]
            assert manifest["last_seq"] == closing.last_seq
        assert json.loads(march.manifest)["previous_sha256"] is None
        assert json.loads(april.manifest)["previous_sha256"] == march.sha256 == april.previous
        assert json.loads(april.statement)["opening"] == json.loads(march.statement)["closing_balance"]

    def test_closed_again_it_is_the_same(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        first = close(engine)
        again, made = close_month(engine, "default", "2025-03", by="Bob", grace=GRACE, now=at(MAY))
        assert (again, made) == (first, False)
        assert counted(engine, ClosingRow, PeriodRow) == [1, 1]

    def test_eight_who_close_at_once_make_one_closing(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        url = engine.url.render_as_string(hide_password=False)

        def attempt(number: int) -> str:
            own = open_engine(url)
            try:
                return close_month(own, "default", "2025-03", by=f"user {number}", grace=GRACE, now=at(APRIL))[0].sha256
            finally:
                own.dispose()

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(attempt, range(8)))) == 1
        assert counted(engine, ClosingRow) == [1]


class TestCanonicalOrder:
    def test_the_month_is_folded_again_and_the_differences_are_posted_in_it(self, engine: Engine) -> None:
        """The later call came first and took the grant; in canonical order the earlier one takes it."""
        grant(engine, "1.00", OPENING, "2025-03-05T00:00:00Z")
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("later", "2025-03-04T12:00:00Z"))
        record_and_post(engine, an_event("earlier", "2025-03-03T12:00:00Z"))
        assert splits(engine)["later"] == ("1.00", "0.10", NOTHING, NOTHING)
        post(engine, now=APRIL)
        close(engine)
        assert splits(engine) == {
            "earlier": ("1.00", "0.10", NOTHING, NOTHING),
            "later": (NOTHING, "1.10", NOTHING, NOTHING),
        }
        assert {row["billing_month"] for row in rows(engine, ChargeRow)} == {"2025-03"}
        assert [row["kind"] for row in rows(engine, EntryRow, EntryRow.seq)][-2:] == ["close", "fold"]
        assert balance(engine) == (NOTHING, "3.80")


class TestWhatComesLater:
    @pytest.fixture
    def closed(self, engine: Engine) -> Closing:
        grant(engine, "1.00", OPENING, reference="welcome")
        top_up(engine, "5.00", OPENING, reference="invoice 1")
        record_and_post(engine, an_event("a"), an_event("x", model="deepseek-9"), now=APRIL)
        return close(engine, reason="the model is a preview; priced next month")

    def test_a_late_call_is_an_adjustment(self, engine: Engine, closed: Closing) -> None:
        before = self.of_march(engine)
        record_and_post(engine, an_event("late", "2025-03-05T12:00:00Z"), now=APRIL)
        record_and_post(engine, an_event("earlier still", "2025-02-05T12:00:00Z"), now=APRIL)
        assert self.of_march(engine) == before
        shape = statement(engine, "2025-04")
        assert shape["opening"] == json.loads(closed.statement)["closing_balance"] == pair(NOTHING, "4.90", "4.90")
        late = {row["month"]: (row["calls"], row["topped_up"], row["untracked"]) for row in shape["adjustments"]}
        # In February the account kept no balance yet, and a million output tokens cost 0.28.
        assert late == {"2025-02": (1, NOTHING, "0.28"), "2025-03": (1, "1.10", NOTHING)}
        assert [(row["kind"], row["total"]) for row in shape["movements"]] == [("adjustment", "-1.10")]

    def test_so_is_a_changed_price(self, engine: Engine, closed: Closing) -> None:
        before = self.of_march(engine)
        reprice(engine, book=with_new_model(), read_book=read_edition, by="Ada", now=at(APRIL))
        reprice(engine, book=with_other_rate(), read_book=read_edition, by="Ada", now=at(APRIL))
        assert self.of_march(engine) == before
        (row,) = (row for row in statement(engine, "2025-04")["adjustments"] if row["model"] == "deepseek-chat")
        assert (row["month"], row["calls"], row["cost"]) == ("2025-03", 0, "0.40")

    def test_and_a_void(self, engine: Engine, closed: Closing) -> None:
        before = self.of_march(engine)
        void_credit(engine, "default", "welcome", reason="never given", by="Ada", now=at(APRIL))
        assert self.of_march(engine) == before
        movements = {
            row["kind"]: (row["granted"], row["topped_up"]) for row in statement(engine, "2025-04")["movements"]
        }
        assert movements == {"void": ("-1.00", NOTHING), "adjustment": ("1.00", "-1.00")}

    def test_and_a_credit(self, engine: Engine, closed: Closing) -> None:
        before = self.of_march(engine)
        grant(engine, "0.30", OPENING, "2025-03-20T00:00:00Z", now=APRIL)
        assert self.of_march(engine) == before
        assert statement(engine, "2025-04")["closing_balance"]["total"] == "5.20"

    def test_a_clock_that_went_back_does_not_reopen_it(self, engine: Engine, closed: Closing) -> None:
        record_and_post(engine, an_event("late", "2025-03-05T12:00:00Z"), now="2025-03-20T00:00:00Z")
        (late,) = (row for row in rows(engine, ChargeRow, ChargeRow.seq) if row["adjusts"])
        assert late["billing_month"] == "2025-04"

    @staticmethod
    def of_march(engine: Engine) -> list[Any]:
        found = [
            rows(engine, table, table.seq, where=table.billing_month == "2025-03") for table in (ChargeRow, EntryRow)
        ]
        return [*found, statement(engine)["movements"]]


class TestWhatStandsAgainstIt:
    def test_the_month_is_not_over(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        expected = ["the month ends at 2025-04-01T00:00:00Z"]
        assert refused(engine, now="2025-03-31T23:59:59Z", reason="I want it") == expected

    def test_late_calls_are_waited_for(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        (blocker,) = refused(engine, now="2025-04-03T23:59:59Z")
        assert "waited for until 2025-04-04T00:00:00Z" in blocker
        assert close(engine, now="2025-04-04T00:00:00Z").reason is None

    def test_the_months_are_those_of_the_account(self, engine: Engine) -> None:
        set_up_account(engine, "default", timezone="Asia/Shanghai")
        record_and_post(engine, an_event("a", "2025-03-31T16:00:00Z"), now=APRIL)
        assert refused(engine) == ["the books of this account begin with 2025-04"]
        assert refused(engine, "2025-04", "2025-04-30T15:59:59Z")[0] == "the month ends at 2025-04-30T16:00:00Z"

    def test_an_earlier_month_is_open(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"), an_event("b", "2025-04-03T12:00:00Z"), now=APRIL)
        assert refused(engine, "2025-04", MAY, "skip it") == ["2025-03 comes first (costmeter close 2025-03)"]

    def test_a_month_without_a_call_is_closed_too(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"), an_event("b", "2025-05-03T12:00:00Z"), now=MAY)
        for month in ("2025-03", "2025-04"):
            close(engine, month, MAY)
        assert len(closings_of(engine)) == 2

    def test_calls_that_are_unpriced_provisional_quarantined_or_unposted(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"), an_event("x", model="deepseek-9"))
        record(engine, an_event("bad", hit=-1))
        record(engine, an_event("waits"))
        found = refused(engine)
        assert [blocker.split(" (")[0] for blocker in found] == [
            "1 call is unpriced", "1 call is in quarantine", "1 call is not posted yet",
        ]  # fmt: skip
        closing = close(engine, reason="priced next month")
        assert (closing.by_whom, closing.reason, closing.blockers) == ("Ada", "priced next month", found)
        assert json.loads(closing.manifest)["overridden"] == found
        post(engine, now=APRIL)
        assert [row["calls"] for row in statement(engine, "2025-04")["adjustments"]] == [1]

    def test_a_balance_that_differs_from_the_vendors(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("a"))
        observe(engine, "4.00")
        assert refused(engine) == ["1 observation differs from the books (costmeter reconcile list)"]
        observe(engine, "3.90")
        assert close(engine).reason is None

    def test_a_conflict_does_not(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        record(engine, an_event("a", output=1))
        assert close(engine).blockers == []

    def test_nothing_is_booked(self, engine: Engine) -> None:
        set_up_account(engine, "default")
        assert refused(engine) == ["nothing is booked in this account yet"]

    def test_a_frozen_account(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        with engine.begin() as connection:
            connection.execute(text("UPDATE account SET frozen_at = created_at"))
        assert refused(engine, reason="never mind")[0].startswith("the account is frozen since")
        with engine.begin() as connection:
            connection.execute(text("UPDATE account SET frozen_at = NULL"))

    def test_what_is_asked_for_is_wrong(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        with pytest.raises(NotFoundError, match="no account 'other'"):
            close_month(engine, "other", "2025-03", by="Ada", grace=GRACE, now=at(APRIL))
        with pytest.raises(InputError, match="month '2025-13'"):
            close(engine, "2025-13")
        with pytest.raises(InputError, match="reason"):
            close(engine, reason=" ")


def closings_of(engine: Engine) -> list[Closing]:
    with reading(engine) as connection:
        return closings.of_account(connection, "default")
