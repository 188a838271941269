"""What no credit covers is overdraft, repaid by top-ups; what came before the opening is untracked; grants expire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from costmeter.store.tables import (
    AccountRow,
    CreditBalanceRow,
    EntryRow,
    ExpiryRow,
    LineRow,
    RepaymentRow,
)
from tests.make import (
    an_event,
    at,
    balance,
    counted,
    grant,
    post,
    record,
    record_and_post,
    rows,
    splits,
    top_up,
    usd,
)
from tests.services.invariants import check_books, journal_balances

OPENING = "2025-03-01T00:00:00Z"


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the books hold afterwards."""
    yield
    check_books(engine)


class TestOverdraft:
    def test_what_nothing_covers_is_overdraft_and_makes_topped_up_negative(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a"))
        assert splits(engine) == {"a": ("0.00", "1.00", "0.10", "0.00")}
        assert balance(engine) == ("0.00", "-0.10")

    def test_a_later_top_up_repays_it_at_once_by_an_entry_of_its_own(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a"))
        second = top_up(engine, "3.00", "2025-03-05T00:00:00Z")
        assert splits(engine) == {"a": ("0.00", "1.00", "0.10", "0.00")}, "the charge keeps its own split"
        assert balance(engine) == ("0.00", "2.90")
        (repayment,) = rows(engine, RepaymentRow)
        assert (repayment["credit_id"], repayment["amount"]) == (second.credit.credit_id, usd("0.10"))
        assert repayment["effective_at"] == at("2025-03-05T00:00:00Z")
        kinds = [(row["kind"], row["seq"]) for row in rows(engine, EntryRow, EntryRow.seq)]
        assert kinds == [("credit", 1), ("charges", 2), ("credit", 3), ("repayment", 4)]
        repaid = {row["journal_account"]: row["amount"] for row in rows(engine, LineRow) if row["seq"] == 4}
        assert repaid == {"topped_up": -usd("0.10"), "overdraft": usd("0.10")}

    def test_one_too_small_repays_what_it_can_and_the_next_the_rest(self, engine: Engine) -> None:
        top_up(engine, "0.10", OPENING)
        record_and_post(engine, an_event("a"))
        top_up(engine, "0.60", "2025-03-05T00:00:00Z")
        assert balance(engine) == ("0.00", "-0.40")
        top_up(engine, "1.00", "2025-03-06T00:00:00Z")
        assert balance(engine) == ("0.00", "0.60")
        assert rows(engine, AccountRow)[0]["overdraft"] == 0

    def test_a_grant_never_repays_so_granted_is_positive_while_topped_up_is_negative(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a"))
        grant(engine, "5.00", "2025-03-05T00:00:00Z")
        post(engine)
        assert balance(engine) == ("5.00", "-0.10")
        assert counted(engine, RepaymentRow) == [0]
        record_and_post(engine, an_event("b", "2025-03-06T12:00:00Z"))
        assert splits(engine)["b"] == ("1.10", "0.00", "0.00", "0.00")
        assert balance(engine) == ("3.90", "-0.10")

    def test_a_top_up_of_the_future_repays_when_a_posting_passes_its_start(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a"))
        top_up(engine, "5.00", "2025-03-12T00:00:00Z")
        assert counted(engine, RepaymentRow) == [0]
        assert balance(engine) == ("0.00", "-0.10")
        assert post(engine, now="2025-03-12T00:00:00Z") == 0
        assert counted(engine, RepaymentRow) == [1]
        assert balance(engine, "2025-03-12T00:00:00Z") == ("0.00", "4.90")
        assert balance(engine, "2025-03-11T23:59:59Z") == ("0.00", "-0.10")

    def test_what_is_owed_comes_before_a_call_after_the_top_up_even_in_one_posting(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        top_up(engine, "1.15", "2025-03-12T00:00:00Z")
        later = "2025-03-13T00:00:00Z"
        record(engine, an_event("before"), an_event("after", "2025-03-12T12:00:00Z"), now=later)
        assert post(engine, now=later) == 2
        assert splits(engine) == {
            "before": ("0.00", "1.00", "0.10", "0.00"),
            "after": ("0.00", "1.05", "0.05", "0.00"),
        }
        assert balance(engine, later) == ("0.00", "-0.05")

    def test_the_balance_of_the_past_is_what_it_was(self, engine: Engine) -> None:
        top_up(engine, "1.00", "2025-03-01T00:00:00Z")
        grant(engine, "0.50", "2025-03-02T00:00:00Z", "2025-03-04T00:00:00Z")
        record_and_post(engine, an_event("a", "2025-03-01T12:00:00Z"), an_event("b", "2025-03-05T12:00:00Z"))
        top_up(engine, "2.00", "2025-03-06T00:00:00Z")
        expected = {
            "2025-02-28T23:59:59Z": ("0.00", "0.00"),
            "2025-03-01T00:00:00Z": ("0.00", "1.00"),
            "2025-03-01T12:00:00Z": ("0.00", "-0.10"),
            "2025-03-02T00:00:00Z": ("0.50", "-0.10"),
            "2025-03-04T00:00:00Z": ("0.00", "-0.10"),
            "2025-03-05T11:59:59Z": ("0.00", "-0.10"),
            "2025-03-05T12:00:00Z": ("0.00", "-1.20"),
            "2025-03-06T00:00:00Z": ("0.00", "0.80"),
        }
        assert {instant: balance(engine, instant) for instant in expected} == expected


class TestUntracked:
    def test_calls_before_the_opening_are_priced_and_not_deducted(self, engine: Engine) -> None:
        top_up(engine, "5.00", "2025-03-03T12:00:00Z")
        record_and_post(
            engine, an_event("before", "2025-03-03T11:59:59.999999Z"), an_event("at", "2025-03-03T12:00:00Z")
        )
        assert splits(engine) == {"before": ("0.00", "0.00", "0.00", "1.10"), "at": ("0.00", "1.10", "0.00", "0.00")}
        assert balance(engine) == ("0.00", "3.90")

    def test_an_account_without_credits_is_not_tracked(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        assert splits(engine) == {"a": ("0.00", "0.00", "0.00", "1.10")}
        assert balance(engine) == ("0.00", "0.00")

    def test_a_grant_opens_the_account_and_overdraft_begins_with_it(self, engine: Engine) -> None:
        grant(engine, "0.10", OPENING, "2025-03-02T00:00:00Z")
        record_and_post(engine, an_event("a"))
        assert splits(engine) == {"a": ("0.00", "0.00", "1.10", "0.00")}


class TestExpiry:
    def test_what_a_grant_still_holds_is_posted_as_expired(self, engine: Engine) -> None:
        grant(engine, "5.00", OPENING, "2025-03-05T00:00:00Z", now="2025-03-01T00:00:00Z")
        record_and_post(engine, an_event("a"), now="2025-03-04T00:00:00Z")
        assert counted(engine, ExpiryRow) == [0]
        post(engine, now="2025-03-04T23:59:59.999999Z")
        assert counted(engine, ExpiryRow) == [0]
        post(engine, now="2025-03-05T00:00:00Z")
        (expiry,) = rows(engine, ExpiryRow)
        assert (expiry["amount"], expiry["effective_at"]) == (usd("3.90"), at("2025-03-05T00:00:00Z"))
        assert journal_balances(rows(engine, LineRow))["granted"] == 0
        post(engine, now="2025-03-06T00:00:00Z")
        assert counted(engine, ExpiryRow) == [1], "it expires once"

    def test_a_late_call_that_completed_before_reverses_what_it_takes(self, engine: Engine) -> None:
        grant(engine, "5.00", OPENING, "2025-03-05T12:00:00Z")
        post(engine)
        record_and_post(engine, an_event("late", "2025-03-05T11:59:59.999999Z"))
        assert splits(engine) == {"late": ("1.10", "0.00", "0.00", "0.00")}
        moves = [row["amount"] for row in rows(engine, ExpiryRow, ExpiryRow.seq)]
        assert moves == [usd("5.00"), -usd("1.10")]
        (left,) = rows(engine, CreditBalanceRow)
        assert (left["remaining"], left["expired"]) == (usd("3.90"), usd("3.90"))
        assert journal_balances(rows(engine, LineRow))["expired"] == usd("3.90")

    def test_the_balance_values_a_grant_as_of_its_instant_posted_or_not(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        grant(engine, "5.00", "2025-03-11T00:00:00Z", "2025-03-12T00:00:00Z")
        found = {when: balance(engine, f"2025-03-{when}Z") for when in ("10T23:59:59", "11T00:00:00", "12T00:00:00")}
        assert found == {
            "10T23:59:59": ("0.00", "1.00"),
            "11T00:00:00": ("5.00", "1.00"),
            "12T00:00:00": ("0.00", "1.00"),
        }
