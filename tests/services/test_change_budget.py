"""A budget is changed by removing it and adding it anew, both or neither."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import InputError, NotFoundError
from costmeter.reports.budgets import budget_states
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.change_budget import change_budget
from costmeter.services.verify import verify
from costmeter.store import alerts, audit
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from tests.make import NOW, an_event, at, record_and_post

LATER = "2025-03-11T00:00:00Z"
SAID: dict[str, Any] = {"per": "month", "amount": "10.00", "where": ["project=search"]}


@pytest.fixture
def spent(engine: Engine) -> Engine:
    """A budget of March, of which 2.20 USD are spent."""
    new = NewBudget("default", "search", **SAID, starts_at=at("2025-01-01T00:00:00Z"))
    add_budget(engine, new, by="root", home=Home(), now=at(NOW))
    record_and_post(engine, *(an_event(f"a{n}", project="search") for n in range(2)))
    return engine


def change(engine: Engine, **more: Any) -> bool:
    return change_budget(engine, NewBudget("default", "search", **SAID | more), by="ada", now=at(LATER))[1]


def state(engine: Engine) -> dict[str, Any]:
    with reading(engine) as connection:
        (found,) = budget_states(connection, None, at(LATER))
    return found


def logged(engine: Engine) -> list[tuple[str, str, str]]:
    """What the audit log says of budgets, oldest first."""
    with reading(engine) as connection:
        found = [one for one in audit.listed(connection, limit=9) if one.action.startswith("budget.")]
    return [(one.action, one.by_whom, one.change["amount"]) for one in reversed(found)]


def test_what_it_says_is_new_and_what_it_counts_is_as_before(spent: Engine) -> None:
    assert change(spent, amount="2.00", stops=True)
    found = state(spent)
    assert (found["amount"], found["spent"], found["stops"], found["created_by"]) == ("2.00", "2.20", True, "ada")
    assert found["starts_at"] == "2025-01-01T00:00:00Z", "left out it is as it was"
    assert logged(spent) == [
        ("budget.add", "root", "10.00"), ("budget.remove", "ada", "10.00"), ("budget.add", "ada", "2.00")
    ]  # fmt: skip
    with reading(spent) as connection:
        assert {(one.rule, one.threshold) for one in alerts.listed(connection, limit=9)} == {
            ("budget 2", "80%"), ("budget 2", "100%")
        }  # fmt: skip
    assert verify(spent, now=at(LATER), full=True) == []


def test_the_same_again_changes_nothing(spent: Engine) -> None:
    before = state(spent)
    assert not change(spent)
    assert state(spent) == before
    assert len(logged(spent)) == 1


@pytest.mark.parametrize(
    ("more", "field"), [({"amount": "-1"}, "amount"), ({"per": "moon"}, "per"), ({"tokens": 5}, "amount")]
)
def test_what_is_wrong_leaves_the_one_before_in_force(spent: Engine, more: dict[str, Any], field: str) -> None:
    before = state(spent)
    with pytest.raises(InputError) as refused:
        change(spent, **more)
    assert refused.value.field == field
    assert state(spent) == before
    assert len(logged(spent)) == 1


def test_one_that_is_not_there_cannot_be_changed(spent: Engine) -> None:
    with pytest.raises(NotFoundError, match="no budget 'other'"):
        change_budget(spent, NewBudget("default", "other", **SAID), by="ada", now=at(LATER))
    with pytest.raises(NotFoundError, match="no account 'nobody'"):
        change_budget(spent, NewBudget("nobody", "search", **SAID), by="ada", now=at(LATER))
