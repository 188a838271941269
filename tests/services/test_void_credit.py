"""Voiding a credit, worked out by hand: as if it had never been given. A call costs 1.10 USD."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import ConflictError, InputError, NotFoundError
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store.credits import BookedCredit
from costmeter.store.engine import open_engine
from costmeter.store.tables import AccountRow, ChargeRow, CreditVoidRow, EntryRow, ExpiryRow, LineRow, RepaymentRow
from tests.make import NOW, an_event, at, balance, counted, grant, post, record_and_post, rows, splits, top_up, usd
from tests.services.invariants import check_books, close, journal_balances

OPENING = "2025-03-01T00:00:00Z"
NOTHING = "0.00"


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the books hold and replay afterwards."""
    yield
    check_books(engine)
    assert verify(engine) == []


def void(engine: Engine, reference: str = "wrong", now: str = NOW, **said: str) -> BookedCredit:
    given = {"reason": "granted twice", "by": "Ada"} | said
    return void_credit(engine, "default", reference, reason=given["reason"], by=given["by"], now=at(now))


class TestWhatItPaid:
    def test_others_pay_it(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        grant(engine, "1.50", OPENING, reference="wrong")
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), an_event("b", "2025-03-03T13:00:00Z"))
        assert balance(engine) == (NOTHING, "4.30")
        void(engine)
        # Both calls are of the top-up: 5.00 - 2.20.
        assert splits(engine) == dict.fromkeys("ab", (NOTHING, "1.10", NOTHING, NOTHING))
        assert balance(engine) == (NOTHING, "2.80")
        assert [row["kind"] for row in rows(engine, EntryRow, EntryRow.seq)] == [
            "credit", "credit", "charges", "void", "fold",
        ]  # fmt: skip
        sums = journal_balances(rows(engine, LineRow))
        assert (sums["granted"], sums["topped_up"], sums["funding"]) == (0, usd("2.80"), -usd("5.00"))

    def test_or_it_is_owed(self, engine: Engine) -> None:
        grant(engine, "0.10", OPENING)
        top_up(engine, "5.00", OPENING, reference="wrong")
        record_and_post(engine, an_event("a"))
        void(engine)
        assert splits(engine) == {"a": ("0.10", NOTHING, "1.00", NOTHING)}
        assert balance(engine) == (NOTHING, "-1.00")

    def test_what_it_repaid_is_owed_again_or_repaid_by_others(self, engine: Engine) -> None:
        top_up(engine, "0.10", OPENING)
        record_and_post(engine, an_event("a"))
        wrong = top_up(engine, "0.60", "2025-03-05T00:00:00Z", reference="wrong").credit.credit_id
        other = top_up(engine, "0.70", "2025-03-06T00:00:00Z").credit.credit_id
        void(engine)
        # 1.00 was owed: 0.60 and 0.40 repaid. Without the first the other repays 0.70, and 0.30 stays owed.
        moves = [(row["credit_id"], row["amount"]) for row in rows(engine, RepaymentRow, RepaymentRow.seq)]
        assert moves == [(wrong, usd("0.60")), (other, usd("0.40")), (wrong, -usd("0.60")), (other, usd("0.30"))]
        assert balance(engine) == (NOTHING, "-0.30")

    def test_what_of_it_had_expired_had_not(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        grant(engine, "1.50", OPENING, "2025-03-04T00:00:00Z", reference="wrong")
        record_and_post(engine, an_event("a"))
        post(engine)
        void(engine)
        assert [row["amount"] for row in rows(engine, ExpiryRow, ExpiryRow.seq)][-1] == -usd("0.40")
        assert journal_balances(rows(engine, LineRow))["expired"] == 0
        assert balance(engine) == (NOTHING, "3.90")

    def test_calls_that_it_alone_had_opened_are_untracked_again(self, engine: Engine) -> None:
        grant(engine, "0.10", OPENING, reference="wrong")
        top_up(engine, "5.00", "2025-03-05T00:00:00Z")
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), an_event("b", "2025-03-04T12:00:00Z"))
        assert balance(engine) == (NOTHING, "2.90")  # 5.00 - 1.00 - 1.10 repaid
        void(engine)
        assert splits(engine) == dict.fromkeys("ab", (NOTHING, NOTHING, NOTHING, "1.10"))
        assert balance(engine) == (NOTHING, "5.00")

    def test_calls_that_it_opened_and_did_not_pay_are_untracked_too(self, engine: Engine) -> None:
        grant(engine, "1.00", OPENING, "2025-03-02T00:00:00Z", reference="wrong")
        record_and_post(engine, an_event("a"))  # the grant was over, so that all of it was owed
        assert splits(engine) == {"a": (NOTHING, NOTHING, "1.10", NOTHING)}
        void(engine)
        assert splits(engine) == {"a": (NOTHING, NOTHING, NOTHING, "1.10")}

    def test_the_only_credit_leaves_the_account_untracked(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING, reference="wrong")
        record_and_post(engine, an_event("a"))
        void(engine)
        assert splits(engine) == {"a": (NOTHING, NOTHING, NOTHING, "1.10")}
        assert balance(engine) == (NOTHING, NOTHING)
        record_and_post(engine, an_event("b", "2025-03-04T12:00:00Z"))
        assert splits(engine)["b"] == (NOTHING, NOTHING, NOTHING, "1.10")

    def test_one_that_paid_nothing_moves_nothing_else(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("a"))
        top_up(engine, "7.00", "2025-03-04T00:00:00Z", reference="wrong")
        void(engine)
        assert balance(engine) == (NOTHING, "3.90")
        assert counted(engine, ChargeRow, RepaymentRow) == [1, 0]


class TestWhen:
    def test_it_counts_for_every_instant(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING, reference="wrong")
        assert balance(engine, "2025-03-02T00:00:00Z") == (NOTHING, "5.00")
        void(engine)
        assert balance(engine, "2025-03-02T00:00:00Z") == (NOTHING, NOTHING)

    def test_calls_of_a_closed_month_are_adjusted(self, engine: Engine) -> None:
        grant(engine, "5.00", "2025-01-01T00:00:00Z", reference="wrong")
        top_up(engine, "5.00", "2025-01-01T00:00:00Z")
        record_and_post(engine, an_event("a", "2025-01-15T12:00:00Z"))
        close(engine, "2025-01")
        before = [row for row in rows(engine, EntryRow) if row["billing_month"] == "2025-01"]
        void(engine)
        assert [row for row in rows(engine, EntryRow) if row["billing_month"] == "2025-01"] == before
        adjusted = [(row["billing_month"], row["adjusts"]) for row in rows(engine, ChargeRow) if row["revision"] > 1]
        assert adjusted == [("2025-03", "2025-01")] * 2


class TestOnce:
    def test_the_reason_and_who_are_kept(self, engine: Engine) -> None:
        booked = top_up(engine, "5.00", OPENING, reference="wrong")
        voided = void(engine, reason="not our invoice", by="Grace")
        (row,) = rows(engine, CreditVoidRow)
        assert (row["credit_id"], row["reason"], row["by_whom"]) == (
            booked.credit.credit_id,
            "not our invoice",
            "Grace",
        )
        assert voided.void is not None
        assert voided.void.seq == row["seq"] == rows(engine, AccountRow)[0]["version"]

    def test_a_second_time_is_refused_and_changes_nothing(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING, reference="wrong")
        void(engine)
        before = rows(engine, AccountRow)
        with pytest.raises(ConflictError, match=r"reference 'wrong': was voided before, at .* by Ada: granted twice"):
            void(engine)
        assert rows(engine, AccountRow) == before

    def test_an_unknown_reference_or_no_reason_is_refused(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING, reference="wrong")
        with pytest.raises(NotFoundError, match="no credit of account 'default' has the reference 'right'"):
            void(engine, "right")
        for said in ({"reason": ""}, {"by": " "}, {"reason": "x" * 257}):
            with pytest.raises(InputError, match="write 1 to 256 characters"):
                void(engine, **said)
        assert counted(engine, CreditVoidRow) == [0]

    def test_a_key_in_a_reason_is_not_stored(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING, reference="wrong")
        void(engine, reason="paid by sk-0123456789abcdef")
        assert "sk-0123456789abcdef" not in str(rows(engine, CreditVoidRow))

    def test_of_many_at_once_one_voids(self, engine: Engine, database_url: str) -> None:
        top_up(engine, "5.00", OPENING, reference="wrong")

        def send(_: int) -> bool:
            own = open_engine(database_url)
            try:
                void(own)
            except ConflictError:
                return False
            finally:
                own.dispose()
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(send, range(4))) == [False] * 3 + [True]
