"""Deliberate mistakes in the posting code, each of which the state machine of the ledger must find.

A mutant is the source of one function with one place changed, compiled into its module for the length of a test.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, event

from costmeter.core import ledger
from costmeter.services import fold, fold_again, reprice, void_credit
from costmeter.store import charges
from costmeter.store.engine import open_engine
from tests.services import test_fold_again as by_hand
from tests.services import test_void_credit as voided
from tests.services.invariants import check_books
from tests.services.ledger_machine import LedgerMachine

EXAMPLES = 150  # the machine runs as many at most before a mutant counts as missed


class Mutant(NamedTuple):
    """A function, by its owner and name, and what is written in place of what."""

    owner: Any
    name: str
    old: str
    new: str


MUTANTS = {
    "paid first": Mutant(ledger, "rank", "KINDS.index(credit.kind)", "-KINDS.index(credit.kind)"),
    "inclusive expiry": Mutant(ledger.Credit, "counts_at", "instant < self.expires_at", "instant <= self.expires_at"),
    "exclusive start": Mutant(
        ledger.Credit, "counts_at", "self.effective_at <= instant", "self.effective_at < instant"
    ),
    "lost overdraft": Mutant(ledger.Purse, "deduct", "self.overdraft += left", "self.overdraft += 0"),
    "a grant repays": Mutant(ledger.Purse, "repay", "credit.kind == TOPPED_UP", "credit.kind"),
    "repayment is not reversed": Mutant(fold_again.Again, "repayments", "if amount]", "if amount > 0]"),
    "repayment is booked twice": Mutant(
        fold_again.Again, "repayments", "differences.subtract(self._was_repaid)", "differences.subtract({})"
    ),
    "wrong sign on reversal": Mutant(fold_again, "negated", "-charge[name]", "charge[name]"),
    "reversal keeps its deductions": Mutant(
        fold_again, "_replace", "change.paid.split.reversed()", "change.paid.split.reversed()._replace(deductions=())"
    ),
    "fold from too late": Mutant(fold_again, "fold_again", "since=since", "since=since + type(since).resolution"),
    "fold in order of arrival": Mutant(
        charges,
        "in_force",
        "order_by(ChargeRow.completed_at, bytewise(connection, EventRow.event_id)",
        "order_by(ChargeRow.event_key",
    ),
    "void leaves what it paid": Mutant(
        void_credit, "first_paid_by", "return charges.first_paid_by", "return not charges.first_paid_by"
    ),
    "repriced twice": Mutant(reprice._Comparison, "_compare", "if row != call.price:", "if row:"),
    "repriced at the old price": Mutant(fold_again, "_replace", "**price, ", ""),
    "adjusts into a closed month": Mutant(fold.Fold, "month", "self.closed_upto is None or", "month or"),
}

# What the machine comes by too seldom is found by a scenario worked out by hand.
BY_HAND = {
    "opening is not moved": Mutant(charges, "first_paid_otherwise", "or_(untracked, affected)", "affected"),
    "void leaves what it opened": Mutant(charges, "first_paid_by", "or_(tracked, paid)", "paid"),
    "repayments of a void stand": Mutant(
        fold_again.Again,
        "__init__",
        "credit.effective_at <= since}",
        "credit.effective_at <= since} | {*purse.remaining} - {credit.credit_id for credit in purse.credits}",
    ),
    "expires once": Mutant(fold.Fold, "expire", "and left:", "and left and not self.expired[credit.credit_id]:"),
    "fold forgets to repay before a call": Mutant(
        fold_again.Again, "fold", "self.purse.can_repay(completed_at)", "not completed_at"
    ),
    "an older top-up repays nothing": Mutant(
        fold_again, "first_affected", "credit.kind == TOPPED_UP", "not credit.kind"
    ),
}
SCENARIOS: dict[str, Callable[[Engine], None]] = {
    "opening is not moved": (
        by_hand.TestWhatChanges().test_one_that_moves_the_opening_back_folds_the_untracked_calls_too
    ),
    "void leaves what it opened": voided.TestWhatItPaid().test_calls_that_it_opened_and_did_not_pay_are_untracked_too,
    "repayments of a void stand": voided.TestWhatItPaid().test_what_it_repaid_is_owed_again_or_repaid_by_others,
    "expires once": by_hand.TestExpiries().test_what_a_late_grant_pays_in_place_of_another_expires_there,
    "fold forgets to repay before a call": (
        by_hand.TestRepayments().test_the_overdraft_of_the_past_is_repaid_before_a_later_call
    ),
    "an older top-up repays nothing": (
        by_hand.TestRepayments().test_an_older_top_up_repays_in_place_of_the_one_that_did
    ),
}


class QuickMachine(LedgerMachine):
    """The machine without what takes longest: verify replays by the code under test, so that it would say nothing."""

    def open(self) -> Engine:
        return quick(super().open())

    def end(self) -> None:
        self.post_later(0)
        self.is_what_the_model_says()
        check_books(self.engine, self.account)


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    engine = quick(open_engine(sqlite_url))
    yield engine
    engine.dispose()


def quick(engine: Engine) -> Engine:
    """An SQLite file that is not made durable: what is looked for is no power failure."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    return engine


def mutate(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    """Put the mutant in the place of the function, wherever that was imported to."""
    original = getattr(mutant.owner, mutant.name)
    source = textwrap.dedent(inspect.getsource(original))
    assert source.count(mutant.old) == 1, f"{mutant.old!r} is not once in {mutant.name}"
    code = compile("from __future__ import annotations\n" + source.replace(mutant.old, mutant.new), "mutant", "exec")
    made: dict[str, Any] = {}
    exec(code, original.__globals__, made)  # its globals are those of the original's module
    changed: FunctionType = made[mutant.name]
    if inspect.isclass(mutant.owner):
        monkeypatch.setattr(mutant.owner, mutant.name, changed)
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("costmeter.") and getattr(module, mutant.name, None) is original:
            monkeypatch.setattr(module, mutant.name, changed)


def run(engine: Engine, examples: int) -> None:
    run_state_machine_as_test(
        lambda: QuickMachine(engine),  # type: ignore[arg-type]  # anything that makes a machine
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
        ),
    )


def test_the_code_as_it_is_passes(engine: Engine) -> None:
    run(engine, 10)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=[name.replace(" ", "_") for name in MUTANTS])
def test_a_mutant_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    mutate(monkeypatch, mutant)
    with pytest.raises(Exception) as found:  # noqa: PT011  a wrong balance, a broken constraint: whatever shows it
        run(engine, EXAMPLES)
    assert not isinstance(found.value, FlakyStrategyDefinition), "the machine itself failed"


@pytest.mark.parametrize("name", BY_HAND, ids=[name.replace(" ", "_") for name in BY_HAND])
def test_a_mutant_is_found_by_hand(engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    mutate(monkeypatch, BY_HAND[name])
    with pytest.raises(AssertionError):
        SCENARIOS[name](engine)
