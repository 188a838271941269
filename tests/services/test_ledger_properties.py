"""Properties of the ledger on a real database: the state machine, and the closed form where no credit starts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from costmeter.core.periods import format_instant
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.store.accounts import Home
from costmeter.store.tables import CreditBalanceRow, DeductionRow, EventRow
from tests.make import balance, post, record, rows
from tests.oracles import by_overlap, in_spending_order
from tests.services.ledger_machine import LedgerMachine, amounts, calls, new_account
from tests.services.ledger_model import INSTANTS, Call, in_canonical_order

LATER = format_instant(INSTANTS[-1])


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
        account = new_account()
        begins = format_instant(INSTANTS[0])
        given_ = [
            add_credit(
                engine,
                NewCredit(account, kind, amount, None, INSTANTS[0]),
                by="finance",
                home=Home(),
                now=INSTANTS[0],
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
    account = new_account()
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
