"""Granted before topped up: the fold that posts charges against two oracles that share no code with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.ledger import (
    FUNDING,
    GRANTED,
    JOURNAL_ACCOUNTS,
    OVERDRAFT,
    TOPPED_UP,
    UNTRACKED,
    USAGE_COST,
    Credit,
    Deduction,
    Purse,
    Repayment,
    Split,
    charge_lines,
    credit_lines,
    expiry_lines,
    is_balanced,
    rank,
    repayment_lines,
)
from tests import oracles

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
OPENING = NOON - 1000 * HOUR

# Small amounts meet exactly; large ones pass 64 bits in their sums.
amounts = st.integers(1, 9) | st.integers(1, 2**63 - 1)
costs = st.integers(0, 9) | st.integers(0, 2**63 - 1)
hours = st.integers(0, 12).map(lambda hour: NOON + hour * HOUR)
kinds = st.sampled_from([GRANTED, TOPPED_UP])


@st.composite
def credits_without_starts_or_ends(draw: st.DrawFn) -> list[Credit]:
    drawn = draw(st.lists(st.tuples(kinds, amounts), max_size=6))
    return [Credit(number, kind, amount, OPENING) for number, (kind, amount) in enumerate(drawn, start=1)]


@st.composite
def credits_of_any_time(draw: st.DrawFn) -> list[Credit]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        kind, start = draw(kinds), draw(hours)
        lasts = draw(st.none() | st.integers(1, 8).map(lambda count: count * HOUR)) if kind == GRANTED else None
        found.append(Credit(number, kind, draw(amounts), start, None if lasts is None else start + lasts))
    return draw(st.permutations(found))


charges_of_any_time = st.lists(st.tuples(costs, hours | hours.map(lambda at: at - MICROSECOND)), max_size=12)


def a_purse(credits: Sequence[Credit]) -> Purse:
    return Purse(list(credits), {credit.credit_id: credit.amount for credit in credits})


def as_oracle(credits: Sequence[Credit]) -> list[dict[str, object]]:
    return [
        {"id": c.credit_id, "kind": c.kind, "amount": c.amount, "starts": c.effective_at, "ends": c.expires_at}
        for c in credits
    ]


def given_by(split: Split) -> dict[int, int]:
    return {deduction.credit_id: deduction.amount for deduction in split.deductions}


# --------------------------------------------------------------------------------------------------- properties


@given(credits_without_starts_or_ends(), st.lists(costs, max_size=12))
def test_without_starts_and_ends_the_fold_is_the_greedy_model_and_the_closed_form(
    credits: list[Credit], charges: list[int]
) -> None:
    purse = a_purse(credits)
    splits = [purse.deduct(cost, NOON) for cost in charges]
    folded = [(given_by(split), split.overdraft) for split in splits]

    step_by_step, left = oracles.greedy(as_oracle(credits), [(cost, NOON) for cost in charges])
    ordered = [(c.credit_id, c.amount) for kind in (GRANTED, TOPPED_UP) for c in credits if c.kind == kind]
    overlaps = oracles.by_overlap(ordered, charges)

    if credits:
        assert folded == [(taken, overdraft) for taken, overdraft, _ in step_by_step] == overlaps
        assert purse.overdraft == sum(overdraft for _, overdraft in overlaps)
    else:
        assert all(split == Split(0, 0, 0, cost, ()) for split, cost in zip(splits, charges, strict=True))
    assert purse.remaining == left


@given(credits_of_any_time(), charges_of_any_time)
def test_with_starts_and_ends_the_fold_is_the_greedy_model(
    credits: list[Credit], charges: list[tuple[int, datetime]]
) -> None:
    purse = a_purse(credits)

    splits = [purse.deduct(cost, at) for cost, at in charges]

    outcomes, left = oracles.greedy(as_oracle(credits), charges)
    assert [(given_by(split), split.overdraft, split.untracked) for split in splits] == outcomes
    assert purse.remaining == left


@given(credits_of_any_time(), charges_of_any_time)
def test_the_parts_of_each_charge_add_up_and_no_credit_gives_more_than_it_has(
    credits: list[Credit], charges: list[tuple[int, datetime]]
) -> None:
    purse = a_purse(credits)
    kind_of = {credit.credit_id: credit.kind for credit in credits}
    gave = dict.fromkeys(kind_of, 0)

    for cost, at in charges:
        split = purse.deduct(cost, at)
        assert split.granted + split.topped_up + split.overdraft + split.untracked == cost
        assert min(split[:4]) >= 0
        for kind, part in ((GRANTED, split.granted), (TOPPED_UP, split.topped_up)):
            assert sum(d.amount for d in split.deductions if d.kind == kind) == part
        assert all(d.amount > 0 and d.kind == kind_of[d.credit_id] for d in split.deductions)
        for deduction in split.deductions:
            gave[deduction.credit_id] += deduction.amount

    for credit in credits:
        assert purse.remaining[credit.credit_id] == credit.amount - gave[credit.credit_id] >= 0


@given(credits_without_starts_or_ends(), st.lists(costs, max_size=8), st.data())
def test_the_order_of_arrival_changes_no_pool_where_no_credit_starts_or_ends(
    credits: list[Credit], charges: list[int], data: st.DataObject
) -> None:
    pools = []
    for order in (charges, data.draw(st.permutations(charges)), sorted(charges)):
        purse = a_purse(credits)
        splits = [purse.deduct(cost, NOON) for cost in order]
        totals = [sum(part) for part in zip(*(split[:4] for split in splits), strict=True)]
        pools.append((totals, purse.remaining, purse.overdraft))
    assert all(pool == pools[0] for pool in pools)


@given(credits_of_any_time(), charges_of_any_time, hours)
def test_overdraft_is_repaid_by_topped_up_credits_alone_and_no_money_appears(
    credits: list[Credit], charges: list[tuple[int, datetime]], now: datetime
) -> None:
    purse = a_purse(credits)
    for cost, at in charges:
        purse.deduct(cost, at)
    owed, before = purse.overdraft, dict(purse.remaining)

    repayments = purse.repay(now)

    by_id = {credit.credit_id: credit for credit in credits}
    assert purse.overdraft == owed - sum(repayment.amount for repayment in repayments) >= 0
    for repayment in repayments:
        assert by_id[repayment.credit_id].kind == TOPPED_UP
        assert by_id[repayment.credit_id].effective_at == repayment.effective_at <= now
        assert 0 < repayment.amount == before[repayment.credit_id] - purse.remaining[repayment.credit_id]
    assert sum(before.values()) - sum(purse.remaining.values()) == owed - purse.overdraft
    could_pay = sum(purse.remaining[c.credit_id] for c in credits if c.kind == TOPPED_UP and c.effective_at <= now)
    assert purse.overdraft == 0 or could_pay == 0
    assert purse.repay(now) == []


@given(credits_of_any_time(), charges_of_any_time, hours)
def test_every_journal_entry_sums_to_zero(
    credits: list[Credit], charges: list[tuple[int, datetime]], now: datetime
) -> None:
    purse = a_purse(credits)
    splits = [purse.deduct(cost, at) for cost, at in charges]
    entries = [charge_lines(splits), *(charge_lines([split]) for split in splits)]
    entries += [credit_lines(credit.kind, credit.amount) for credit in credits]
    entries += [repayment_lines(repayment.amount) for repayment in purse.repay(now)]
    entries += [expiry_lines(amount) for amount in (7, -7)]

    for lines in entries:
        assert is_balanced(lines)
        assert sum(lines.values()) == 0
        assert set(lines) <= set(JOURNAL_ACCOUNTS)
        assert all(lines.values())


@given(credits_of_any_time(), charges_of_any_time, hours)
def test_the_journal_has_what_the_purse_has(
    credits: list[Credit], charges: list[tuple[int, datetime]], now: datetime
) -> None:
    purse = a_purse(credits)
    entries = [credit_lines(credit.kind, credit.amount) for credit in credits]
    entries.append(charge_lines([purse.deduct(cost, at) for cost, at in charges]))
    entries += [repayment_lines(repayment.amount) for repayment in purse.repay(now)]

    booked = {account: sum(lines.get(account, 0) for lines in entries) for account in JOURNAL_ACCOUNTS}

    for kind in (GRANTED, TOPPED_UP):
        assert booked[kind] == sum(purse.remaining[c.credit_id] for c in credits if c.kind == kind)
    assert booked[OVERDRAFT] == -purse.overdraft
    assert booked[USAGE_COST] == sum(cost for cost, _ in charges)
    assert booked[FUNDING] == -sum(credit.amount for credit in credits)


# ------------------------------------------------------------------------------------------ the order of spending

RANKED = [
    # Granted goes first; then what expires first, never last; then what began first; then the lower id.
    Credit(9, GRANTED, 1, NOON + HOUR, NOON + 2 * HOUR),
    Credit(8, GRANTED, 1, NOON, NOON + 3 * HOUR),
    Credit(6, GRANTED, 1, NOON + HOUR, NOON + 3 * HOUR),
    Credit(7, GRANTED, 1, NOON + HOUR, NOON + 3 * HOUR),
    Credit(5, GRANTED, 1, NOON, None),
    Credit(4, TOPPED_UP, 1, NOON - HOUR, None),
    Credit(2, TOPPED_UP, 1, NOON, None),
    Credit(3, TOPPED_UP, 1, NOON, None),
]


def test_credits_are_spent_by_kind_expiry_start_and_id_in_whatever_order_they_came() -> None:
    for start in range(len(RANKED)):
        shuffled = RANKED[start:] + RANKED[:start]
        assert sorted(shuffled, key=rank) == RANKED
        assert a_purse(shuffled).credits == RANKED


@pytest.mark.parametrize("first", range(len(RANKED) - 1))
def test_each_rule_of_the_order_decides_who_pays(first: int) -> None:
    one, other = RANKED[first : first + 2]
    at = NOON + HOUR  # where all of them count
    for pair in permutations((one, other)):
        split = a_purse(pair).deduct(1, at)
        assert given_by(split) == {one.credit_id: 1}
        assert given_by(a_purse(pair).deduct(2, at)) == {one.credit_id: 1, other.credit_id: 1}


def test_a_grant_that_runs_out_in_the_middle_of_a_call_is_followed_by_the_topped_up_balance() -> None:
    purse = a_purse([Credit(1, TOPPED_UP, 100, OPENING), Credit(2, GRANTED, 30, OPENING)])

    assert purse.deduct(50, NOON) == Split(30, 20, 0, 0, (Deduction(2, GRANTED, 30), Deduction(1, TOPPED_UP, 20)))
    assert purse.deduct(100, NOON) == Split(0, 80, 20, 0, (Deduction(1, TOPPED_UP, 80),))
    assert purse.overdraft == 20


def test_a_credit_counts_from_its_start_and_up_to_but_without_its_expiry() -> None:
    grant = Credit(1, GRANTED, 10, NOON, NOON + HOUR)
    counts = {at: grant.counts_at(at) for at in (NOON - MICROSECOND, NOON, NOON + HOUR - MICROSECOND, NOON + HOUR)}
    assert list(counts.values()) == [False, True, True, False]


@pytest.mark.parametrize(
    ("at", "split"),
    [
        (NOON - MICROSECOND, Split(0, 5, 0, 0, (Deduction(2, TOPPED_UP, 5),))),
        (NOON, Split(5, 0, 0, 0, (Deduction(1, GRANTED, 5),))),
        (NOON + HOUR - MICROSECOND, Split(5, 0, 0, 0, (Deduction(1, GRANTED, 5),))),
        (NOON + HOUR, Split(0, 5, 0, 0, (Deduction(2, TOPPED_UP, 5),))),
    ],
)
def test_a_grant_is_judged_at_the_completion_of_the_call(at: datetime, split: Split) -> None:
    purse = a_purse([Credit(1, GRANTED, 10, NOON, NOON + HOUR), Credit(2, TOPPED_UP, 10, OPENING)])
    assert purse.deduct(5, at) == split


def test_a_call_before_the_opening_is_untracked_and_one_after_it_is_deducted_or_overdraft() -> None:
    purse = a_purse([Credit(1, GRANTED, 10, NOON, NOON + HOUR)])

    assert purse.opened_at == NOON
    assert purse.deduct(5, NOON - MICROSECOND) == Split(0, 0, 0, 5, ())
    assert purse.deduct(5, NOON) == Split(5, 0, 0, 0, (Deduction(1, GRANTED, 5),))
    assert purse.deduct(5, NOON + HOUR) == Split(0, 0, 5, 0, ())
    assert purse.remaining == {1: 5}


def test_an_account_without_credits_is_not_tracked() -> None:
    purse = Purse()

    assert purse.opened_at is None
    assert purse.deduct(5, NOON) == Split(0, 0, 0, 5, ())
    assert purse.overdraft == 0


def test_a_charge_of_nothing_takes_nothing() -> None:
    assert a_purse([Credit(1, GRANTED, 10, OPENING)]).deduct(0, NOON) == Split(0, 0, 0, 0, ())


def test_a_grant_never_repays_overdraft_and_a_topped_up_credit_does_at_once() -> None:
    purse = a_purse([Credit(1, TOPPED_UP, 10, OPENING)])
    purse.deduct(25, NOON)

    purse.add(Credit(2, GRANTED, 100, NOON))
    assert purse.repay(NOON) == []
    assert (purse.overdraft, purse.remaining[2]) == (15, 100)
    purse.add(Credit(3, TOPPED_UP, 40, NOON + HOUR))
    assert purse.repay(NOON + HOUR - MICROSECOND) == []
    assert purse.repay(NOON + HOUR) == [Repayment(3, 15, NOON + HOUR)]
    assert (purse.overdraft, purse.remaining) == (0, {1: 0, 2: 100, 3: 25})


def test_overdraft_is_repaid_by_several_credits_in_their_order() -> None:
    purse = a_purse([Credit(1, GRANTED, 1, OPENING)])
    purse.deduct(100, NOON)
    for number, amount in ((4, 30), (3, 50), (5, 40)):
        purse.add(Credit(number, TOPPED_UP, amount, NOON + (5 - number) * HOUR))

    assert purse.repay(NOON + 9 * HOUR) == [
        Repayment(5, 40, NOON),
        Repayment(4, 30, NOON + HOUR),
        Repayment(3, 29, NOON + 2 * HOUR),
    ]
    assert purse.remaining == {1: 0, 3: 21, 4: 0, 5: 0}


# ------------------------------------------------------------------------------------------------- journal lines


def test_a_batch_of_charges_is_one_line_an_account_and_no_line_of_zero() -> None:
    splits = [Split(1, 2, 4, 0, ()), Split(10, 0, 0, 0, ()), Split(0, 0, 0, 8, ())]

    assert charge_lines(splits) == {GRANTED: -11, TOPPED_UP: -2, OVERDRAFT: -4, UNTRACKED: -8, USAGE_COST: 25}
    assert charge_lines(splits[2:]) == {UNTRACKED: -8, USAGE_COST: 8}
    assert charge_lines([]) == charge_lines([Split(0, 0, 0, 0, ())]) == {}


def test_the_other_entries_move_between_two_accounts() -> None:
    assert credit_lines(GRANTED, 5) == {"granted": 5, "funding": -5}
    assert credit_lines(TOPPED_UP, 5) == {"topped_up": 5, "funding": -5}
    assert repayment_lines(5) == {"topped_up": -5, "overdraft": 5}
    assert expiry_lines(5) == {"granted": -5, "expired": 5}
    assert expiry_lines(-5) == {"granted": 5, "expired": -5}


def test_an_entry_that_does_not_sum_to_zero_is_not_balanced() -> None:
    assert not is_balanced({GRANTED: -5, USAGE_COST: 6})
    assert is_balanced({GRANTED: -(2**80), USAGE_COST: 2**80})


# ------------------------------------------------------------------------- the oracles themselves, worked by hand


def test_the_oracles_say_what_a_hand_would() -> None:
    credits = [
        {"id": "t", "kind": "topped_up", "amount": 100, "starts": 0, "ends": None},
        {"id": "late", "kind": "granted", "amount": 10, "starts": 0, "ends": 9},
        {"id": "soon", "kind": "granted", "amount": 10, "starts": 2, "ends": 5},
    ]

    outcomes, left = oracles.greedy(credits, [(5, -1), (5, 1), (7, 2), (7, 4), (200, 9)])

    assert outcomes == [({}, 0, 5), ({"late": 5}, 0, 0), ({"soon": 7}, 0, 0), ({"soon": 3, "late": 4}, 0, 0),
                        ({"t": 100}, 100, 0)]  # fmt: skip
    assert left == {"t": 0, "late": 1, "soon": 0}
    assert oracles.by_overlap([("g", 30), ("t", 100)], [50, 100]) == [({"g": 30, "t": 20}, 0), ({"t": 80}, 20)]
