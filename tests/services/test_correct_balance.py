"""Corrections of a balance, worked out by hand. A call costs 1.10 USD."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import InputError, NotFoundError
from costmeter.services.correct_balance import NewCorrection, correct_balance
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.verify import verify
from costmeter.store import accounts
from costmeter.store.corrections import Correction
from costmeter.store.engine import reading
from costmeter.store.statements import read_statement
from costmeter.store.tables import AuditRow, LineRow
from tests.make import NOW, an_event, at, balance, grant, record_and_post, rows, set_up_account, splits, top_up, usd
from tests.services.invariants import check_books, journal_balances

OPENING = "2025-03-01T00:00:00Z"
NOTHING = "0.00"


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    yield
    check_books(engine)
    assert verify(engine, full=True) == []
    if rows(engine, LineRow):
        before = balance(engine)
        rebuild_projections(engine)
        assert balance(engine) == before
        assert verify(engine, full=True) == []


def correct(engine: Engine, amount: str, when: str | None = None, kind: str = "topped_up") -> Correction:
    new = NewCorrection("default", usd(amount), "the vendor says so", kind, None if when is None else at(when))
    return correct_balance(engine, new, by="Ada", now=at(NOW))


class TestDownwards:
    def test_it_is_taken_from_the_topped_up_balance(self, engine: Engine) -> None:
        grant(engine, "1.00", OPENING)
        top_up(engine, "5.00", OPENING)
        correct(engine, "-0.25")
        assert balance(engine) == ("1.00", "4.75")
        assert balance(engine, "2025-03-02T00:00:00Z") == ("1.00", "5.00"), "before, it was as it was"
        sums = journal_balances(rows(engine, LineRow))
        assert (sums["adjustment"], sums["topped_up"], sums["overdraft"]) == (usd("0.25"), usd("4.75"), 0)

    def test_or_owed_where_there_is_none(self, engine: Engine) -> None:
        grant(engine, "1.00", OPENING)
        correct(engine, "-0.25")
        assert balance(engine) == ("1.00", "-0.25")
        top_up(engine, "5.00", NOW)
        assert balance(engine) == ("1.00", "4.75")

    def test_calls_after_it_are_folded_again(self, engine: Engine) -> None:
        top_up(engine, "2.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), an_event("b", "2025-03-05T12:00:00Z"))
        assert splits(engine)["b"] == (NOTHING, "0.90", "0.20", NOTHING)
        correct(engine, "-0.50", "2025-03-04T00:00:00Z")
        assert splits(engine) == {
            "a": (NOTHING, "1.10", NOTHING, NOTHING),
            "b": (NOTHING, "0.40", "0.70", NOTHING),
        }
        assert balance(engine) == (NOTHING, "-0.70")

    def test_a_later_folding_keeps_it_at_its_instant(self, engine: Engine) -> None:
        top_up(engine, "2.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))
        correct(engine, "-1.50", "2025-03-05T00:00:00Z")
        grant(engine, "0.10", OPENING)  # folds the call again
        assert splits(engine)["a"] == ("0.10", "1.00", NOTHING, NOTHING)
        assert balance(engine) == (NOTHING, "-0.50")

    def test_what_it_was_repaid_by_pays_calls_that_come_before_it(self, engine: Engine) -> None:
        top_up(engine, "1.50", OPENING)
        correct(engine, "-1.00", "2025-03-05T00:00:00Z")
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))  # comes late, and finds 0.50
        assert splits(engine)["a"] == (NOTHING, "0.50", "0.60", NOTHING)
        grant(engine, "0.10", OPENING)  # folds the call again, at its own place: before the correction
        assert splits(engine)["a"] == ("0.10", "1.00", NOTHING, NOTHING)
        assert balance(engine) == (NOTHING, "-0.50")

    def test_a_call_of_before_it_that_comes_after_is_late_and_no_fault(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        correct(engine, "-0.40", "2025-03-05T00:00:00Z")
        record_and_post(engine, an_event("late", "2025-03-03T12:00:00Z"))
        assert splits(engine)["late"] == (NOTHING, "0.60", "0.50", NOTHING), "it takes what there is when it comes"
        assert balance(engine) == (NOTHING, "-0.50")

    def test_it_stands_on_the_statement(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        correct(engine, "-0.25")
        with reading(engine) as connection:
            shape = read_statement(connection, accounts.get(connection, "default"), "2025-03", at(NOW)).as_dict()
        assert [(row["kind"], row["total"]) for row in shape["movements"]] == [
            ("credit", "5.00"),
            ("correction", "-0.25"),
        ]
        said = shape["credits"][-1]
        assert (said["origin"], said["amount"], said["by"], said["reason"]) == (
            "correction", "-0.25", "Ada", "the vendor says so",
        )  # fmt: skip
        (audit,) = (row for row in rows(engine, AuditRow) if row["action"] == "balance.correct")
        assert (audit["by_whom"], audit["reason"]) == ("Ada", "the vendor says so")


class TestUpwards:
    def test_it_is_a_credit_of_its_own(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a"))
        assert balance(engine) == (NOTHING, "-0.10")
        correct(engine, "0.30", OPENING)
        assert balance(engine) == (NOTHING, "0.20")
        assert splits(engine)["a"] == (NOTHING, "1.10", NOTHING, NOTHING)
        sums = journal_balances(rows(engine, LineRow))
        assert (sums["adjustment"], sums["funding"]) == (-usd("0.30"), -usd("1.00"))

    def test_of_what_was_granted_too(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        correct(engine, "0.30", kind="granted")
        assert balance(engine) == ("0.30", "1.00")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("amount", "when", "kind", "found"),
        [
            ("0", None, "topped_up", "amount"),
            ("-0.10", None, "granted", "taken back by its own void"),
            ("-0.10", "2025-03-10T00:00:01Z", "topped_up", "is ahead of now"),
            ("-0.10", "2025-02-28T23:59:59Z", "topped_up", "keeps no balance then"),
            ("0.10", None, "gift", "kind"),
        ],
    )
    def test_what_makes_no_sense(self, engine: Engine, amount: str, when: str | None, kind: str, found: str) -> None:
        top_up(engine, "1.00", OPENING)
        with pytest.raises(InputError, match=found):
            correct(engine, amount, when, kind)
        assert balance(engine) == (NOTHING, "1.00")

    def test_an_account_that_keeps_no_balance(self, engine: Engine) -> None:
        with pytest.raises(NotFoundError, match="no account 'default'"):
            correct(engine, "-0.10")
        set_up_account(engine, "default")
        with pytest.raises(InputError, match="keeps no balance"):
            correct(engine, "-0.10")
