"""A state machine of the ledger on a real database: whatever is recorded, credited and posted in whatever order."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy import Engine, delete, update

from costmeter.core.errors import ConflictError, InputError, NotClosableError
from costmeter.core.periods import format_instant, month_of, month_period
from costmeter.prices.read import read_edition
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.close_month import close_month
from costmeter.services.correct_balance import NewCorrection, correct_balance
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store.accounts import NO_CHAIN, Home
from costmeter.store.engine import open_engine
from costmeter.store.tables import (
    AccountRow,
    BudgetPeriodRow,
    ChargeRow,
    CheckpointRow,
    CreditBalanceRow,
    DayRow,
    EntryRow,
    EventRow,
    IdentityRow,
    MonthRow,
    PendingRow,
    QuarterRow,
)
from tests.make import outcome, post, record, set_up_account
from tests.services.invariants import check_books
from tests.services.ledger_checks import LedgerChecks
from tests.services.ledger_model import BOOKS, EDGES, INSTANTS, MARCH, MICRO, START, Call, Model

_numbers = count()
models = st.sampled_from(["deepseek-chat", "deepseek-chat", "deepseek-reasoner", "deepseek-9"])
tokens = st.tuples(*[st.sampled_from([0, 1, 64, 500_000, 1_000_000])] * 3)
# How many of the instants a call's completion lies back: mostly few, so that calls fall among the credits.
calls = st.tuples(models, st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 6, 9, 30]), tokens)
amounts = st.sampled_from([1, 550_000_000_000, 1_100_000_000_000, 1_500_000_000_001, 4_000_000_000_000])
kinds = st.sampled_from(["granted", "topped_up"])


def new_account() -> str:
    """The name of an account that no other run has."""
    return f"account-{next(_numbers)}"


class LedgerMachine(LedgerChecks):
    """One account, many hands: calls in any order, sent again, credits of the past and the future, late postings."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine, self._given = engine, engine
        self.timezone = "UTC"
        self.closed: list[list[dict[str, Any]]] | None = None
        self.account = new_account()
        self.now = START + timedelta(days=1)
        self.model = Model()
        self.calls: list[Call] = []
        self.conflicts: set[Call] = set()

    @initialize(timezone=st.sampled_from(["UTC", "Asia/Shanghai"]), opening=st.booleans())
    def make_account(self, timezone: str, opening: bool) -> None:
        self.timezone = timezone
        set_up_account(self.engine, self.account, timezone=timezone)
        for new in (
            NewBudget(self.account, "all", "month", "3.00", starts_at=START),
            NewBudget(self.account, "chat", "day", "1.00", where=["model=deepseek-chat"], starts_at=START),
            NewBudget(self.account, "tokens", "7h", tokens=1_000_000, starts_at=START),
        ):
            add_budget(self.engine, new, by="root", home=Home(), now=self.now)
        if opening:
            self.add("topped_up", 1_100_000_000_000, START, None)

    @rule(batch=st.lists(calls, min_size=1, max_size=5))
    def record_calls(self, batch: list[tuple[str, int, tuple[int, int, int]]]) -> None:
        newest = bisect_right(INSTANTS, self.now) - 1
        for_each = [(model, INSTANTS[max(newest - back, 0)], counts) for model, back, counts in batch]
        self.send([Call(f"call-{len(self.calls) + n}", *call) for n, call in enumerate(for_each)])

    @precondition(lambda self: self.ended())
    @rule(data=st.data(), counts=tokens)
    def record_one_that_a_grant_still_paid(self, data: st.DataObject, counts: tuple[int, int, int]) -> None:
        """A late call, completed in the last moment of a grant whose end has passed and may be posted."""
        ends = data.draw(st.sampled_from(self.ended()))
        self.send([Call(f"call-{len(self.calls)}", "deepseek-chat", ends - MICRO, counts)])

    def ended(self) -> list[datetime]:
        return [credit["ends"] for credit in self.model.credits if credit["ends"] and credit["ends"] <= self.now]

    def send(self, new: list[Call]) -> None:
        self.calls += new
        tally = record(self.engine, *(call.body(self.account) for call in new), now=format_instant(self.now))
        assert outcome(tally) == (len(new), 0, 0, 0)
        self.model.pending += new

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        again = data.draw(st.lists(st.sampled_from(self.calls), min_size=1, max_size=4))
        tally = record(self.engine, *(call.body(self.account) for call in again), now=format_instant(self.now))
        assert outcome(tally) == (0, len(again), 0, 0)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), model=models, counts=tokens, is_at_another_instant=st.booleans())
    def send_with_other_content(
        self, data: st.DataObject, model: str, counts: tuple[int, int, int], is_at_another_instant: bool
    ) -> None:
        """A conflict: it waits in quarantine, once, and the books are as they were."""
        first = data.draw(st.sampled_from(self.calls))
        at = first.completed_at - is_at_another_instant * MICRO
        other = first._replace(model=model, completed_at=at, tokens=counts)
        before = self.recorded()
        tally = record(self.engine, other.body(self.account), now=format_instant(self.now))
        assert outcome(tally) == ((0, 1, 0, 0) if other == first else (0, 0, 1, 0))
        self.conflicts |= {other} - {first}
        assert self.recorded() == before

    def recorded(self) -> list[list[dict[str, Any]]]:
        return self.stored(
            EventRow, IdentityRow, PendingRow, ChargeRow, EntryRow, CreditBalanceRow, QuarterRow, AccountRow
        )

    @rule(amount=amounts, counts=st.lists(tokens, min_size=2, max_size=2), is_late=st.booleans())
    def post_calls_on_both_sides_of_the_end_of_a_grant(
        self, amount: int, counts: list[tuple[int, int, int]], is_late: bool
    ) -> None:
        """It ends between the two, which come in the wrong order, perhaps after their grant was posted as expired."""
        ends = max(edge for edge in EDGES if edge <= self.now)
        self.add("granted", amount, ends - timedelta(hours=12), ends)
        if is_late:
            self.post_later(0)
        number = len(self.calls)
        after, before = (
            Call(f"call-{number + n}", "deepseek-chat", ends - n * MICRO, some) for n, some in enumerate(counts)
        )
        self.send([after, before])
        self.post_later(0)

    @rule(kind=kinds, amount=amounts, starts=st.sampled_from(EDGES), ends=st.one_of(st.none(), st.sampled_from(EDGES)))
    def add_credit_of_any_time(self, kind: str, amount: int, starts: datetime, ends: datetime | None) -> None:
        self.add(kind, amount, starts, ends)

    @rule(kind=kinds, amount=amounts, hours=st.sampled_from([None, 1, 12, 24]))
    def add_credit_from_now_on(self, kind: str, amount: int, hours: int | None) -> None:
        self.add(kind, amount, None, None if hours is None else self.now + timedelta(hours=hours))

    @precondition(lambda self: any(posted.overdraft for posted in self.model.posted))
    @rule(amount=amounts, is_enough=st.booleans())
    def top_up_right_after_the_first_overdrawn_call(self, amount: int, is_enough: bool) -> None:
        """Late: what was owed is to be repaid before any call that came after, and by nobody who came later."""
        overdrawn = (posted for posted in self.model.posted if posted.overdraft)
        first = min(overdrawn, key=lambda posted: posted.call.completed_at)
        self.add("topped_up", amount + is_enough * first.overdraft, first.call.completed_at + MICRO, None)

    def add(self, kind: str, amount: int, starts: datetime | None, ends: datetime | None) -> None:
        begins = starts or self.now
        ends = ends if kind == "granted" and ends is not None and ends > begins else None
        reference = f"credit {len(self.model.left)}"
        new = NewCredit(self.account, kind, amount, None, starts, ends, reference)
        credit = {"id": 10**9, "reference": reference, "kind": kind, "amount": amount, "starts": begins, "ends": ends}
        if starts is None and self.model.first_affected(credit) is not None:
            # Without a start of its own it begins after the last posted call.
            begins = max(posted.call.completed_at for posted in self.model.posted) + timedelta(microseconds=1)
            credit["starts"] = begins
            if ends is not None and ends <= begins:
                with pytest.raises(InputError, match="must be after effective_at"):
                    add_credit(self.engine, new, by="finance", home=Home(), now=self.now)
                return
        booked, is_new = add_credit(self.engine, new, by="finance", home=Home(), now=self.now)
        assert is_new
        self.model.add({**credit, "id": booked.credit.credit_id}, self.now)

    @rule(hours=st.sampled_from([0, 1, 12, 30, 48]))
    def post_later(self, hours: int) -> None:
        self.now = min(self.now + timedelta(hours=hours), INSTANTS[-1] + timedelta(days=1))
        waiting = len(self.model.pending)
        by = BOOKS[self.model.book][0]()
        assert post(self.engine, self.account, format_instant(self.now), by=by) == waiting == self.model.post(self.now)

    @precondition(lambda self: self.named())
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        self.take_back(data.draw(st.sampled_from(self.named())))

    @precondition(lambda self: self.that_repaid())
    @rule()
    def void_one_that_repaid(self) -> None:
        self.take_back(self.that_repaid()[0])

    def named(self) -> list[dict[str, Any]]:
        return [credit for credit in self.model.credits if credit["reference"]]

    def that_repaid(self) -> list[dict[str, Any]]:
        repaid = {credit_id for credit_id, _ in self.model.repaid}
        return [credit for credit in self.named() if credit["id"] in repaid]

    def take_back(self, credit: dict[str, Any]) -> None:
        void_credit(self.engine, self.account, credit["reference"], reason="a mistake", by="Ada", now=self.now)
        with pytest.raises(ConflictError, match="was voided before"):
            void_credit(self.engine, self.account, credit["reference"], reason="again", by="Ada", now=self.now)
        self.model.void(credit, self.now)

    @rule(number=st.sampled_from(range(len(BOOKS))))
    def reprice(self, number: int) -> None:
        """By another book, or by the same again, which changes nothing; and always once more."""
        self.model.book = number
        expected = self.model.reprice(lambda call: month_of(call.completed_at, self.timezone), self.now)
        for changes in (expected, 0):
            book = BOOKS[number][0]()
            found = reprice(self.engine, [self.account], book=book, read_book=read_edition, by="finance", now=self.now)
            assert sum(group.charges for group in found.values()) == changes

    @precondition(lambda self: self.model.credits)
    @rule(amount=amounts, hours=st.sampled_from([0, 1, 12, 30, 48]), is_up=st.booleans())
    def correct(self, amount: int, hours: int, is_up: bool) -> None:
        """The balance is put right, as of an instant that may lie before calls that are posted."""
        opening = min(credit["starts"] for credit in self.model.credits)
        instant = max(self.now - timedelta(hours=hours), opening)
        if instant > self.now:
            return
        new = NewCorrection(self.account, amount if is_up else -amount, "counted", effective_at=instant)
        booked = correct_balance(self.engine, new, by="finance", now=self.now)
        if not is_up:
            self.model.correct(amount, instant, self.now)
            return
        credit = {"id": booked.seq, "reference": None, "kind": "topped_up", "amount": amount}
        self.model.add({**credit, "starts": instant, "ends": None}, self.now)

    @precondition(lambda self: self.closed is None and month_of(self.now, self.timezone) > MARCH)
    @rule()
    def close_march(self) -> None:
        """Whatever is in doubt; it is folded again in canonical order, and the books may begin in April only."""
        closing = partial(close_month, self.engine, self.account, MARCH, reason="at last", grace=timedelta())
        if not self.booked_in_march()[1]:
            with pytest.raises(NotClosableError):
                closing(by="finance", now=self.now)
            return
        assert closing(by="finance", now=self.now)[1]
        start = month_period(MARCH, self.timezone).start
        assert start is not None
        self.model.fold_again(start, self.now)
        self.closed = self.booked_in_march()

    @precondition(lambda self: self.engine is self._given)
    @rule()
    def restart(self) -> None:
        """Another process, once: nothing is left of the one before but its database."""
        self.engine.dispose()
        self.engine = self.open()

    def open(self) -> Engine:
        return open_engine(self._given.url.render_as_string(hide_password=False))

    @rule(is_dropped=st.booleans())
    def rebuild(self, is_dropped: bool) -> None:
        """Whatever is kept beside the facts comes back from them; the invariant looks at the rollups."""
        before = self.projections()
        if is_dropped:
            self.drop_projections()
        assert rebuild_projections(self.engine, [self.account]) == [self.account]
        assert self.projections() == before

    def projections(self) -> Any:
        """All but the count of changes to budgets, which rises when they are counted anew."""
        (account,), *others = self.stored(AccountRow, CreditBalanceRow, PendingRow)
        return {**account, "budgets": None}, others

    def drop_projections(self) -> None:
        with self.engine.begin() as connection:
            for table in (CreditBalanceRow, PendingRow, QuarterRow, DayRow, MonthRow, CheckpointRow, BudgetPeriodRow):
                connection.execute(delete(table).where(table.account == self.account))
            lost = {"version": 0, "overdraft": 0, "chain": NO_CHAIN, "rolled_up": 0}
            connection.execute(update(AccountRow).where(AccountRow.account == self.account).values(lost))

    def teardown(self) -> None:
        try:
            self.end()
        finally:
            self.engine.dispose()

    def end(self) -> None:
        """At the end everything is posted and compared, to the digit."""
        self.post_later(0)
        self.is_what_the_model_says()
        check_books(self.engine, self.account)
        found = verify(self.engine, [self.account])
        assert found == [], found
        if self.model.late is None:
            self.is_as_if_all_had_been_known_from_the_beginning()
