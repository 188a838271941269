"""Folding again, worked out by hand: a credit entered late pays what it would have paid, and only that is posted.

A call costs 1.10 USD unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.services.verify import verify
from costmeter.store.tables import ChargeRow, EntryRow, ExpiryRow, LineRow, RepaymentRow
from tests.make import (
    MILLION,
    an_event,
    balance,
    counted,
    grant,
    post,
    record,
    record_and_post,
    rows,
    set_up_account,
    splits,
    taken_from,
    top_up,
    usd,
)
from tests.services.invariants import check_books, close, journal_balances

OPENING = "2025-03-01T00:00:00Z"
NOTHING = "0.00"


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the books hold and replay afterwards."""
    yield
    check_books(engine)
    assert verify(engine) == []


def revisions(engine: Engine) -> list[tuple[int, int, str, str | None]]:
    """Revision, sign, billing month and adjusted month of every charge, as they were booked."""
    names = ("revision", "sign", "billing_month", "adjusts")
    return [tuple(row[name] for name in names) for row in rows(engine, ChargeRow, ChargeRow.seq)]


def repayments(engine: Engine) -> list[tuple[int, int]]:
    return [(row["credit_id"], row["amount"]) for row in rows(engine, RepaymentRow, RepaymentRow.seq)]


class TestWhatChanges:
    def test_a_grant_takes_over_from_the_top_up_that_paid(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), an_event("b", "2025-03-03T13:00:00Z"))
        grant(engine, "1.50", "2025-03-02T00:00:00Z")
        # a: 1.10 of the grant; b: 1.50 - 1.10 = 0.40 of it, and 1.10 - 0.40 = 0.70 topped up. Left: 5.00 - 0.70.
        assert splits(engine) == {"a": ("1.10", NOTHING, NOTHING, NOTHING), "b": ("0.40", "0.70", NOTHING, NOTHING)}
        assert balance(engine) == (NOTHING, "4.30")
        assert [row["kind"] for row in rows(engine, EntryRow, EntryRow.seq)] == ["credit", "charges", "credit", "fold"]
        # Granted pays 1.50 more and topped up 1.50 less; the cost stays, so that it moves nothing.
        last = max(row["seq"] for row in rows(engine, EntryRow))
        lines = {row["journal_account"]: row["amount"] for row in rows(engine, LineRow) if row["seq"] == last}
        assert lines == {"granted": -usd("1.50"), "topped_up": usd("1.50")}

    def test_only_what_changes_is_posted(self, engine: Engine) -> None:
        top_up(engine, "9.00", OPENING)
        calls = [an_event(f"c{n}", f"2025-03-0{n}T12:00:00Z") for n in range(2, 8)]
        record_and_post(engine, *calls)
        grant(engine, "1.00", "2025-03-04T00:00:00Z")  # of c4 alone: 1.00 granted, 0.10 topped up
        assert counted(engine, ChargeRow) == [6 + 2]
        assert splits(engine)["c4"] == ("1.00", "0.10", NOTHING, NOTHING)
        assert {splits(engine)[f"c{n}"] for n in (2, 3, 5, 6, 7)} == {(NOTHING, "1.10", NOTHING, NOTHING)}

    def test_a_grant_ends_before_the_calls_after_it(self, engine: Engine) -> None:
        top_up(engine, "9.00", OPENING)
        times = {"before": "11:59:59.999999", "first": "12:00:00", "last": "17:59:59.999999", "after": "18:00:00"}
        record_and_post(engine, *(an_event(name, f"2025-03-03T{clock}Z") for name, clock in times.items()))
        # From 16:30 on a call is off-peak: 0.55.
        grant(engine, "5.00", "2025-03-03T12:00:00Z", "2025-03-03T18:00:00Z")
        granted = {name: parts[0] for name, parts in splits(engine).items()}
        assert granted == {"before": NOTHING, "first": "1.10", "last": "0.55", "after": NOTHING}
        # What it still held, 5.00 - 1.65, has expired.
        assert [row["amount"] for row in rows(engine, ExpiryRow)] == [usd("3.35")]

    def test_one_that_moves_the_opening_back_folds_the_untracked_calls_too(self, engine: Engine) -> None:
        top_up(engine, "5.00", "2025-03-05T00:00:00Z")
        record_and_post(
            engine,
            an_event("before", "2025-03-01T12:00:00Z"),
            an_event("covered", "2025-03-02T00:30:00Z"),
            an_event("between", "2025-03-03T12:00:00Z"),
            an_event("after", "2025-03-06T12:00:00Z"),
        )
        assert [parts[3] for parts in splits(engine).values()] == ["1.10", "1.10", "1.10", NOTHING]
        grant(engine, "2.00", "2025-03-02T00:00:00Z", "2025-03-02T01:00:00Z")
        assert splits(engine) == {
            "before": (NOTHING, NOTHING, NOTHING, "1.10"),
            "covered": ("1.10", NOTHING, NOTHING, NOTHING),
            "between": (NOTHING, NOTHING, "1.10", NOTHING),  # the grant is over, the top-up not there yet
            "after": (NOTHING, "1.10", NOTHING, NOTHING),
        }
        # The top-up repays the 1.10 of `between`: 5.00 - 1.10 - 1.10.
        assert balance(engine) == (NOTHING, "2.80")
        assert repayments(engine) == [(1, usd("1.10"))]

    def test_the_first_credit_of_an_account_opens_it_in_the_past(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), an_event("b", "2025-03-04T12:00:00Z"))
        top_up(engine, "1.00", "2025-03-03T12:00:00.000001Z")
        assert splits(engine) == {"a": (NOTHING, NOTHING, NOTHING, "1.10"), "b": (NOTHING, "1.00", "0.10", NOTHING)}
        assert balance(engine) == (NOTHING, "-0.10")


class TestRepayments:
    def test_one_that_was_untrue_is_taken_back(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))
        second = top_up(engine, "3.00", "2025-03-05T00:00:00Z")  # repays 0.10
        grant(engine, "0.05", "2025-03-02T00:00:00Z")
        # a: 0.05 granted, 1.00 topped up, 0.05 overdraft; the second top-up repays 0.05 instead of 0.10.
        assert splits(engine) == {"a": ("0.05", "1.00", "0.05", NOTHING)}
        assert repayments(engine) == [(second.credit.credit_id, usd("0.10")), (second.credit.credit_id, -usd("0.05"))]
        assert balance(engine) == (NOTHING, "2.95")

    def test_an_older_top_up_repays_in_place_of_the_one_that_did(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))
        second = top_up(engine, "3.00", "2025-03-05T00:00:00Z").credit.credit_id
        third = top_up(engine, "0.04", "2025-03-04T00:00:00Z").credit.credit_id
        # The third was there first: it repays 0.04, and the second 0.06 of the 0.10.
        assert repayments(engine) == [(second, usd("0.10")), (second, -usd("0.04")), (third, usd("0.04"))]
        assert splits(engine) == {"a": (NOTHING, "1.00", "0.10", NOTHING)}
        assert balance(engine) == (NOTHING, "2.94")

    def test_what_a_late_top_up_frees_repays_the_overdraft_of_later_calls(self, engine: Engine) -> None:
        top_up(engine, "1.50", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), an_event("b", "2025-03-04T12:00:00Z"))
        assert splits(engine)["b"] == (NOTHING, "0.40", "0.70", NOTHING)
        grant(engine, "1.00", "2025-03-03T00:00:00Z", "2025-03-03T18:00:00Z")
        # a: 1.00 granted, 0.10 topped up; b: 1.10 of the 1.40 that the top-up has left. Left: 0.30.
        assert splits(engine) == {"a": ("1.00", "0.10", NOTHING, NOTHING), "b": (NOTHING, "1.10", NOTHING, NOTHING)}
        assert balance(engine) == (NOTHING, "0.30")

    def test_the_overdraft_of_the_past_is_repaid_before_a_later_call(self, engine: Engine) -> None:
        top_up(engine, "0.10", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), an_event("b", "2025-03-05T12:00:00Z"))
        late = top_up(engine, "1.50", "2025-03-04T00:00:00Z").credit.credit_id
        # a owed 1.00, which is repaid on March 4th; b then finds 0.50.
        assert repayments(engine) == [(late, usd("1.00"))]
        assert splits(engine)["b"] == (NOTHING, "0.50", "0.60", NOTHING)
        assert balance(engine, "2025-03-04T12:00:00Z") == (NOTHING, "0.50")


class TestExpiries:
    def test_what_a_late_grant_pays_in_place_of_another_expires_there(self, engine: Engine) -> None:
        first = grant(engine, "5.00", OPENING, "2025-03-06T00:00:00Z").credit.credit_id
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))
        second = grant(engine, "1.00", OPENING, "2025-03-05T00:00:00Z").credit.credit_id
        # The first was entered after its end: 5.00 expired at once, of which a took 1.10 back. The second ends sooner
        # and pays 1.00 of a; the first pays 0.10, so that 4.90 of it expired: 1.00 more than 3.90.
        assert taken_from(engine, "a") == [(second, "1.00"), (first, "0.10")]
        moves = [(row["credit_id"], row["amount"]) for row in rows(engine, ExpiryRow, ExpiryRow.seq)]
        assert moves == [(first, usd("5.00")), (first, -usd("1.10")), (first, usd("1.00"))]
        assert journal_balances(rows(engine, LineRow))["expired"] == usd("4.90")


class TestMonths:
    def test_calls_of_an_open_month_stay_in_it(self, engine: Engine) -> None:
        top_up(engine, "5.00", "2025-01-01T00:00:00Z")
        record_and_post(engine, an_event("a", "2025-01-15T12:00:00Z"))
        grant(engine, "5.00", "2025-01-10T00:00:00Z")
        own = "2025-01"
        assert revisions(engine) == [(1, 1, own, None), (2, -1, own, None), (3, 1, own, None)]

    def test_calls_of_a_closed_month_are_adjusted_in_the_month_of_booking(self, engine: Engine) -> None:
        set_up_account(engine, "default", timezone="Asia/Shanghai")
        top_up(engine, "5.00", "2025-01-01T00:00:00Z")
        # Half past midnight of February 1st in Shanghai, and noon of January 31st.
        record_and_post(engine, an_event("feb", "2025-01-31T16:30:00Z"), an_event("jan", "2025-01-31T04:00:00Z"))
        close(engine, "2025-01")
        before = [row for row in rows(engine, ChargeRow) if row["billing_month"] == "2025-01"]
        grant(engine, "9.00", "2025-01-10T00:00:00Z", now="2025-03-31T16:00:00Z")  # already April there
        assert sorted(revisions(engine)) == [
            (1, 1, "2025-01", None),
            (1, 1, "2025-02", None),
            (2, -1, "2025-02", None),
            (2, -1, "2025-04", "2025-01"),
            (3, 1, "2025-02", None),
            (3, 1, "2025-04", "2025-01"),
        ]
        assert [row for row in rows(engine, ChargeRow) if row["billing_month"] == "2025-01"] == before


class TestOrder:
    def test_calls_that_came_late_are_put_in_their_place(self, engine: Engine) -> None:
        grant(engine, "1.10", OPENING)
        record_and_post(engine, an_event("later", "2025-03-03T13:00:00Z"))
        record_and_post(engine, an_event("sooner", "2025-03-03T12:00:00Z"))
        assert splits(engine)["sooner"] == (NOTHING, NOTHING, "1.10", NOTHING)
        top_up(engine, "5.00", "2025-03-02T00:00:00Z")
        # By completion: the grant pays `sooner`, which it covers just so, and the top-up pays `later`.
        assert splits(engine) == {
            "later": (NOTHING, "1.10", NOTHING, NOTHING),
            "sooner": ("1.10", NOTHING, NOTHING, NOTHING),
        }

    def test_calls_of_one_instant_go_by_their_event_id(self, engine: Engine) -> None:
        top_up(engine, "9.00", OPENING)
        for name in ("b", "a", "B"):
            record_and_post(engine, an_event(name, "2025-03-03T12:00:00Z"))
        grant(engine, "1.60", OPENING)
        assert {name: parts[0] for name, parts in splits(engine).items()} == {"B": "1.10", "a": "0.50", "b": NOTHING}

    def test_calls_that_wait_are_posted_after_it(self, engine: Engine) -> None:
        record_and_post(engine, an_event("posted", "2025-03-03T12:00:00Z"))
        record(engine, an_event("waits", "2025-03-03T11:00:00Z"))
        grant(engine, "1.50", OPENING)
        assert splits(engine) == {"posted": ("1.10", NOTHING, NOTHING, NOTHING)}
        assert post(engine) == 1
        assert splits(engine)["waits"] == ("0.40", NOTHING, "0.70", NOTHING)

    def test_many_late_credits_one_after_the_other(self, engine: Engine) -> None:
        """Whatever the order in which they are entered, calls that came in order end as if all had been known."""
        outcomes: list[dict[str, Any]] = []
        for account, order in (("forth", (0, 1, 2, 3)), ("back", (3, 2, 1, 0)), ("mixed", (2, 0, 3, 1))):
            record_and_post(
                engine, *(an_event(f"{n}", f"2025-03-0{n}T12:00:00Z", account=account) for n in range(2, 8))
            )
            given = [
                lambda a=account: top_up(engine, "0.70", "2025-03-03T00:00:00Z", account=a),
                lambda a=account: grant(engine, "2.00", "2025-03-04T00:00:00Z", "2025-03-06T00:00:00Z", account=a),
                lambda a=account: top_up(engine, "9.00", "2025-03-06T18:00:00Z", account=a),
                lambda a=account: grant(engine, "0.50", "2025-03-05T00:00:00Z", account=a),
            ]
            for number in order:
                given[number]()
            outcomes.append(splits(engine, account) | {"balance": balance(engine, account=account)})
        # 2: untracked. 3: 0.70 topped up, 0.40 owed. 4: 1.10 granted. 5: 0.90 and 0.20 granted. 6: 0.30 granted, 0.80
        # owed. 7: the 9.00 has repaid 1.20 and pays 1.10: 6.70 left.
        assert outcomes[0] == {
            "2": (NOTHING, NOTHING, NOTHING, "1.10"),
            "3": (NOTHING, "0.70", "0.40", NOTHING),
            "4": ("1.10", NOTHING, NOTHING, NOTHING),
            "5": ("1.10", NOTHING, NOTHING, NOTHING),
            "6": ("0.30", NOTHING, "0.80", NOTHING),
            "7": (NOTHING, "1.10", NOTHING, NOTHING),
            "balance": (NOTHING, "6.70"),
        }
        assert outcomes[1] == outcomes[2] == outcomes[0]


class TestSize:
    def test_more_than_a_chunk_is_folded_again_and_replayed(self, engine: Engine) -> None:
        top_up(engine, "99.00", OPENING)
        calls = [an_event(f"c{n}", "2025-03-03T12:00:00Z", output=MILLION // 100) for n in range(4_500)]
        record_and_post(engine, *calls)  # 0.011 each: 49.50
        grant(engine, "44.00", "2025-03-02T00:00:00Z")  # pays 4,000 of them
        assert balance(engine) == (NOTHING, "93.50")
        assert counted(engine, ChargeRow) == [4_500 + 2 * 4_000]

    def test_amounts_past_64_bits_make_several_entries(self, engine: Engine) -> None:
        most = 1_000 * 1_000_000_000
        record_and_post(engine, *(an_event(f"c{n}", output=most) for n in range(9)))  # 9 x 1,100,000 USD
        top_up(engine, "9000000.00", OPENING)
        assert balance(engine) == (NOTHING, "-900000.00")
        assert len([row for row in rows(engine, EntryRow) if row["kind"] == "fold"]) == 3
