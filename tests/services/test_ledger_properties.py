"""Properties of the ledger on a real database: whatever is recorded, credited and posted in whatever order.

The model is plain Python: integers, lists, and the order of spending as tests/oracles.py tells it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine

from costmeter.core.errors import ConflictError, InputError
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant, month_of
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import read_edition
from costmeter.reports.spend import spend_report
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store import accounts, balances
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from costmeter.store.tables import AccountRow, ChargeRow, CreditBalanceRow, DeductionRow, EntryRow, EventRow
from tests.late_prices import with_new_model, with_other_rate
from tests.make import an_event, balance, book, outcome, post, record, rows, set_up_account, splits
from tests.oracles import by_overlap, in_spending_order
from tests.services.invariants import check_books, close

START = datetime(2025, 3, 29, tzinfo=UTC)  # three days before the end of a month
MARCH = "2025-03"
MICRO = timedelta(microseconds=1)
# Rates of March 2025 at standard and off-peak hours, hit, miss and output, in 10^-12 USD a token.
RATES = {
    "deepseek-chat": ((70_000, 270_000, 1_100_000), (35_000, 135_000, 550_000)),
    "deepseek-reasoner": ((140_000, 550_000, 2_190_000), (35_000, 135_000, 550_000)),
}
# Credits start and end at few edges, and calls complete at them and beside them: that is where mistakes are.
EDGES = [START + timedelta(hours=12 * n) for n in range(14)]
EDGES += [START + timedelta(days=2, hours=16), START + timedelta(days=3, hours=16, minutes=30)]  # April in Shanghai
INSTANTS = sorted(edge + offset for edge in EDGES for offset in (-MICRO, timedelta(), MICRO))
# Editions of the price book that follow each other: what they say otherwise than the first.
BOOKS: list[tuple[Callable[[], PriceBook], dict[str, Any]]] = [
    (book, {}),
    (with_new_model, {"deepseek-9": ((100_000, 1_000_000, 2_000_000),) * 2}),
    (with_other_rate, {"deepseek-chat": ((70_000, 270_000, 1_500_000), RATES["deepseek-chat"][1])}),
]
LATER = format_instant(INSTANTS[-1])
_account_numbers = count()


class Call(NamedTuple):
    event_id: str
    model: str
    completed_at: datetime
    tokens: tuple[int, int, int]

    def body(self, account: str) -> dict[str, Any]:
        hit, miss, output = self.tokens
        at = format_instant(self.completed_at)
        return an_event(self.event_id, at, model=self.model, account=account, hit=hit, miss=miss, output=output)

    def cost(self, number: int = 0) -> int | None:
        """Off-peak from 16:30 up to 00:30 UTC; None where the book of that number has no price."""
        return self.price(number)[0]

    def price(self, number: int) -> tuple[int | None, int | None]:
        """The cost, and what it would be at standard hours."""
        rates = (RATES | BOOKS[number][1]).get(self.model)
        if rates is None:
            return None, None
        clock = self.completed_at.time()
        is_off_peak = clock >= time(16, 30) or clock < time(0, 30)
        standard, off_peak = (sum(r * n for r, n in zip(band, self.tokens, strict=True)) for band in rates)
        return (off_peak if is_off_peak else standard), standard


def in_canonical_order(calls: Sequence[Call]) -> list[Call]:
    return sorted(calls, key=lambda call: (call.completed_at, call.event_id))


class Posted(NamedTuple):
    call: Call
    taken: dict[int, int]
    overdraft: int
    untracked: int
    book: int  # the number of the price book that it was charged by


class Model:
    """The ledger of one account as it ought to be."""

    def __init__(self) -> None:
        self.credits: list[dict[str, Any]] = []
        self.left: dict[int, int] = {}
        self.pending: list[Call] = []
        self.posted: list[Posted] = []
        self.repaid: list[tuple[int, int]] = []  # credit id, amount
        self.book = 0
        self.newest = (START - timedelta(days=99), "")
        self.late: datetime | None = None  # the earliest call posted after a later one, and not folded again since

    def counts(self, credit: Mapping[str, Any], instant: datetime) -> bool:
        return credit["starts"] <= instant and not (credit["ends"] is not None and credit["ends"] <= instant)

    def owed(self) -> int:
        return sum(p.overdraft for p in self.posted) - sum(amount for _, amount in self.repaid)

    def first_affected(self, new: dict[str, Any]) -> datetime | None:
        """The earliest instant at which something posted would have come out otherwise."""
        order = [credit["id"] for credit in in_spending_order([*self.credits, new])]
        behind = set(order[order.index(new["id"]) + 1 :])
        starts = {credit["id"]: credit["starts"] for credit in self.credits}
        if new["kind"] == "topped_up" and any(starts[key] > new["starts"] for key, amount in self.repaid if amount):
            return cast("datetime", new["starts"])
        instants = []
        for posted in self.posted:
            at = posted.call.completed_at
            is_affected = self.counts(new, at) and (posted.overdraft or behind & set(posted.taken))
            if is_affected or (posted.untracked and new["starts"] <= at):
                instants.append(at)
        return min(instants, default=None)

    def add(self, credit: dict[str, Any], now: datetime) -> None:
        since = self.first_affected({**credit, "id": 10**9})
        self.credits.append(credit)
        self.left[credit["id"]] = credit["amount"]
        if since is not None:
            self.fold_again(since, now)
        self.repay(now)

    def post(self, now: datetime) -> int:
        calls = in_canonical_order(self.pending)
        for call in calls:
            self.charge(call, self.book)
            if (call.completed_at, call.event_id) < self.newest:
                self.late = min(self.late or call.completed_at, call.completed_at)
            self.newest = max(self.newest, (call.completed_at, call.event_id))
        self.pending = []
        self.repay(now)
        return len(calls)

    def charge(self, call: Call, number: int) -> None:
        cost = call.cost(number) or 0
        opening = min((credit["starts"] for credit in self.credits), default=None)
        self.repay(call.completed_at)  # what is owed comes before a call that comes after a top-up
        if opening is None or call.completed_at < opening:
            self.posted.append(Posted(call, {}, 0, cost, number))
            return
        taken = {}
        for credit in in_spending_order(self.credits):
            part = min(cost, self.left[credit["id"]])
            if part and self.counts(credit, call.completed_at):
                taken[credit["id"]] = part
                self.left[credit["id"]] -= part
                cost -= part
        self.posted.append(Posted(call, taken, cost, 0, number))

    def fold_again(self, since: datetime, now: datetime) -> None:
        """Forget how the calls from an instant on were paid, and what younger top-ups repaid; then charge them anew."""
        again = {posted.call: posted.book for posted in self.posted if posted.call.completed_at >= since}
        self.posted = [posted for posted in self.posted if posted.call.completed_at < since]
        standing = {credit["id"] for credit in self.credits if credit["starts"] <= since}
        self.repaid = [(key, amount) for key, amount in self.repaid if key in standing]
        for credit in self.credits:
            gave = sum(posted.taken.get(credit["id"], 0) for posted in self.posted)
            gave += sum(amount for key, amount in self.repaid if key == credit["id"])
            self.left[credit["id"]] = credit["amount"] - gave
        for call in in_canonical_order([*again]):
            self.charge(call, again[call])
        self.repay(now)
        if self.late is not None and self.late >= since:
            self.late = None

    def void(self, credit: dict[str, Any], now: datetime) -> None:
        """As if it had never been given."""
        key, starts = credit["id"], credit["starts"]
        self.credits.remove(credit)
        opening = min((other["starts"] for other in self.credits), default=None)
        instants = []
        for posted in self.posted:
            at = posted.call.completed_at
            is_tracked_by_it = posted.overdraft and starts <= at and (opening is None or at < opening)
            if key in posted.taken or is_tracked_by_it:
                instants.append(at)
        if any(credit_id == key for credit_id, amount in self.repaid if amount):
            instants = [starts]
        if instants:
            self.fold_again(min(instants), now)
        self.left[key] = 0
        self.repay(now)

    def reprice(self, month_of_call: Callable[[Call], str], now: datetime) -> int:
        """Every call that the present book prices otherwise, month by month; returns how many that were."""
        count = 0
        for month in sorted({month_of_call(posted.call) for posted in self.posted}):
            changed = {
                posted.call
                for posted in self.posted
                if month_of_call(posted.call) == month
                and posted.call.price(posted.book) != posted.call.price(self.book)
            }
            if changed:
                count += len(changed)
                self.posted = [p._replace(book=self.book) if p.call in changed else p for p in self.posted]
                self.fold_again(min(call.completed_at for call in changed), now)
        return count

    def repay(self, now: datetime) -> None:
        for credit in in_spending_order(self.credits):
            part = min(self.owed(), self.left[credit["id"]])
            if part and credit["kind"] == "topped_up" and credit["starts"] <= now:
                self.left[credit["id"]] -= part
                self.repaid.append((credit["id"], part))

    def balance(self, at: datetime) -> tuple[int, int]:
        """What credits in effect had left after all that happened until then, overdraft taken off the topped up."""
        has = {"granted": 0, "topped_up": 0}
        for credit in self.credits:
            if self.counts(credit, at):
                spent = sum(p.taken.get(credit["id"], 0) for p in self.posted if p.call.completed_at <= at)
                spent += sum(amount for credit_id, amount in self.repaid if credit_id == credit["id"])
                has[credit["kind"]] += credit["amount"] - spent
        owed = sum(p.overdraft for p in self.posted if p.call.completed_at <= at)
        starts = {credit["id"]: credit["starts"] for credit in self.credits}
        owed -= sum(amount for credit_id, amount in self.repaid if starts[credit_id] <= at)
        return has["granted"], has["topped_up"] - owed

    def parts(self, posted: Posted) -> tuple[int, int, int, int]:
        kinds = {credit["id"]: credit["kind"] for credit in self.credits}
        paid = {"granted": 0, "topped_up": 0}
        for credit_id, amount in posted.taken.items():
            paid[kinds[credit_id]] += amount
        return paid["granted"], paid["topped_up"], posted.overdraft, posted.untracked


models = st.sampled_from(["deepseek-chat", "deepseek-chat", "deepseek-reasoner", "deepseek-9"])
tokens = st.tuples(*[st.sampled_from([0, 1, 64, 500_000, 1_000_000])] * 3)
# How many of the instants a call's completion lies back: mostly few, so that calls fall among the credits.
calls = st.tuples(models, st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 6, 9, 30]), tokens)
amounts = st.sampled_from([1, 550_000_000_000, 1_100_000_000_000, 1_500_000_000_001, 4_000_000_000_000])
kinds = st.sampled_from(["granted", "topped_up"])


class LedgerMachine(RuleBasedStateMachine):
    """One account, many hands: calls in any order, sent again, credits of the past and the future, late postings."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.timezone = "UTC"
        self.closed: list[list[dict[str, Any]]] | None = None
        self.account = f"account-{next(_account_numbers)}"
        self.now = START + timedelta(days=1)
        self.model = Model()
        self.calls: list[Call] = []

    @initialize(timezone=st.sampled_from(["UTC", "Asia/Shanghai"]), opening=st.booleans())
    def make_account(self, timezone: str, opening: bool) -> None:
        self.timezone = timezone
        set_up_account(self.engine, self.account, timezone=timezone)
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

    @rule(hours=st.sampled_from([0, 1, 12, 30]))
    def post_later(self, hours: int) -> None:
        self.now = min(self.now + timedelta(hours=hours), INSTANTS[-1] + timedelta(days=1))
        waiting = len(self.model.pending)
        by = BOOKS[self.model.book][0]()
        assert post(self.engine, self.account, format_instant(self.now), by=by) == waiting == self.model.post(self.now)

    @precondition(lambda self: self.model.credits)
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        self.take_back(data.draw(st.sampled_from(self.model.credits)))

    @precondition(lambda self: self.model.repaid)
    @rule()
    def void_one_that_repaid(self) -> None:
        repaid = {credit_id for credit_id, _ in self.model.repaid}
        self.take_back(next(credit for credit in self.model.credits if credit["id"] in repaid))

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
            found = reprice(
                self.engine, [self.account], book=BOOKS[number][0](), read_book=read_edition, by="finance", now=self.now
            )
            assert sum(group.charges for group in found.values()) == changes

    @precondition(lambda self: self.closed is None and month_of(self.now, self.timezone) > MARCH)
    @rule()
    def close_march(self) -> None:
        close(self.engine, MARCH, self.account)
        self.closed = self.booked_in_march()

    def booked_in_march(self) -> list[list[dict[str, Any]]]:
        return [
            rows(self.engine, table, table.seq, where=(table.account == self.account) & (table.billing_month == MARCH))
            for table in (ChargeRow, EntryRow)
        ]

    @rule()
    def restart(self) -> None:
        self.engine.dispose()

    @invariant()
    def balances_are_what_the_model_says(self) -> None:
        with reading(self.engine) as connection:
            if not (account := accounts.listed(connection, [self.account])):
                return
            found = balances.balance_at(connection, account[0], self.now)
        assert (found.granted, found.topped_up) == self.model.balance(self.now)

    def teardown(self) -> None:
        """At the end everything is posted and compared, to the digit."""
        self.post_later(0)
        self.is_what_the_model_says()
        check_books(self.engine, self.account)
        assert verify(self.engine, [self.account]) == []
        if self.model.late is None:
            self.is_as_if_all_had_been_known_from_the_beginning()

    def is_what_the_model_says(self) -> None:
        expected = {p.call.event_id: tuple(map(format_amount, self.model.parts(p))) for p in self.model.posted}
        assert splits(self.engine, self.account) == expected
        left = rows(self.engine, CreditBalanceRow, where=CreditBalanceRow.account == self.account)
        assert {row["credit_id"]: row["remaining"] for row in left} == self.model.left
        assert self.closed in (None, self.booked_in_march()), "a closed month never changes"
        over = {credit["id"] for credit in self.model.credits if credit["ends"] and credit["ends"] <= self.now}
        assert all(row["expired"] == (row["remaining"] if row["credit_id"] in over else 0) for row in left)
        (account,) = rows(self.engine, AccountRow, where=AccountRow.account == self.account)
        assert account["overdraft"] == self.model.owed()
        with reading(self.engine) as connection:
            known = accounts.get(connection, self.account)
            for instant in EDGES:
                found = balances.balance_at(connection, known, instant)
                assert (found.granted, found.topped_up) == self.model.balance(instant), instant
            scope = Scope.checked(
                start=START - timedelta(days=9), end=self.now + timedelta(days=9), account=self.account
            )
            totals = spend_report(connection, scope).totals
        parts = [self.model.parts(posted) for posted in self.model.posted]
        for position, name in enumerate(("granted", "topped_up", "overdraft", "untracked")):
            assert totals[name] == sum(part[position] for part in parts)
        costs = [posted.call.cost(posted.book) for posted in self.model.posted]
        assert totals["cost"] == sum(cost or 0 for cost in costs)
        assert totals["unpriced"] == costs.count(None)
        assert (totals["calls"], totals["unposted"]) == (len(self.calls), 0)

    def is_as_if_all_had_been_known_from_the_beginning(self) -> None:
        """Where no call came late, or those that did were folded again: one fold in canonical order says the same."""
        afresh = Model()
        afresh.credits = self.model.credits
        afresh.left = dict.fromkeys(self.model.left, 0) | {c["id"]: c["amount"] for c in afresh.credits}
        by = {posted.call: posted.book for posted in self.model.posted}
        for call in in_canonical_order([*by]):
            afresh.charge(call, by[call])
        afresh.repay(self.now)
        assert {p.call: p for p in afresh.posted} == {p.call: p for p in self.model.posted}
        assert (afresh.left, afresh.owed()) == (self.model.left, self.model.owed())


def test_the_ledger_is_what_the_model_says_whatever_is_done(engine: Engine) -> None:
    examples = 40 if engine.dialect.name == "sqlite" else 25
    run_state_machine_as_test(
        lambda: LedgerMachine(engine),  # type: ignore[arg-type]  # anything that makes a machine
        settings=settings(max_examples=examples, stateful_step_count=20, deadline=None),
    )


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[list[tuple[Any, ...]], list[int]]:
    some = draw(st.lists(calls, min_size=1, max_size=8))
    return some, draw(st.permutations(range(len(some))))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shuffled(), st.lists(st.tuples(st.sampled_from(["granted", "topped_up"]), amounts), min_size=1, max_size=4))
def test_where_no_credit_starts_or_ends_arrival_changes_no_pool_and_the_closed_form_agrees(
    engine: Engine, some: tuple[list[tuple[Any, ...]], list[int]], credits: Sequence[tuple[str, int]]
) -> None:
    made = [
        Call(f"call-{number}", model, INSTANTS[9 - min(back, 9)], counts)
        for number, (model, back, counts) in enumerate(some[0])
    ]
    pools = []
    for order in (range(len(made)), some[1]):
        account = f"account-{next(_account_numbers)}"
        begins = format_instant(INSTANTS[0])
        given_ = [
            add_credit(
                engine, NewCredit(account, kind, amount, None, INSTANTS[0]), by="finance", home=Home(), now=INSTANTS[0]
            )[0].credit
            for kind, amount in credits
        ]
        for number in order:
            record(engine, made[number].body(account), now=LATER)
            post(engine, account, LATER)
        pools.append((balance(engine, LATER, account), _given_by_rank(engine, account)))
        spending = in_spending_order(
            [{"id": c.credit_id, "kind": c.kind, "amount": c.amount, "starts": begins, "ends": None} for c in given_]
        )
        overlaps = by_overlap([(c["id"], c["amount"]) for c in spending], [made[n].cost() or 0 for n in order])
        expected = {made[number].event_id: taken for number, (taken, _) in zip(order, overlaps, strict=True) if taken}
        assert _taken(engine, account) == expected
    assert pools[0] == pools[1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shuffled(), st.lists(st.tuples(st.sampled_from(["granted", "topped_up"]), amounts), min_size=1, max_size=4))
def test_credits_entered_after_the_calls_pay_by_the_closed_form_in_canonical_order(
    engine: Engine, some: tuple[list[tuple[Any, ...]], list[int]], credits: Sequence[tuple[str, int]]
) -> None:
    """Whatever the order of arrival: entering them late folds everything since their start."""
    made = [
        Call(f"call-{number}", model, INSTANTS[9 - min(back, 9)], counts)
        for number, (model, back, counts) in enumerate(some[0])
    ]
    account = f"account-{next(_account_numbers)}"
    for number in some[1]:
        record(engine, made[number].body(account), now=LATER)
        post(engine, account, LATER)
    given_ = []
    for kind, amount in credits:
        new = NewCredit(account, kind, amount, None, INSTANTS[0])
        given_.append(add_credit(engine, new, by="finance", home=Home(), now=INSTANTS[-1])[0].credit)
    spending = in_spending_order(
        [{"id": c.credit_id, "kind": c.kind, "amount": c.amount, "starts": 0, "ends": None} for c in given_]
    )
    calls = in_canonical_order(made)
    overlaps = by_overlap([(c["id"], c["amount"]) for c in spending], [call.cost() or 0 for call in calls])
    expected = {call.event_id: taken for call, (taken, _) in zip(calls, overlaps, strict=True) if taken}
    assert _taken(engine, account) == expected


def _taken(engine: Engine, account: str) -> dict[str, dict[int, int]]:
    """What each credit gave for each call, all in all: what was reversed adds up to nothing."""
    names = {row["event_key"]: row["event_id"] for row in rows(engine, EventRow, where=EventRow.account == account)}
    taken: dict[str, Counter[int]] = defaultdict(Counter)
    for row in rows(engine, DeductionRow, where=DeductionRow.account == account):
        taken[names[row["event_key"]]][row["credit_id"]] += row["amount"]
    left = {name: {key: amount for key, amount in gave.items() if amount} for name, gave in taken.items()}
    return {name: gave for name, gave in left.items() if gave}


def _given_by_rank(engine: Engine, account: str) -> dict[int, int]:
    left = rows(engine, CreditBalanceRow, where=CreditBalanceRow.account == account)
    return {row["credit_id"]: row["remaining"] for row in left}
