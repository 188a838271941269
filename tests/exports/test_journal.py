"""The journal export: balanced entries by day, project and model, and the same sums as the ledger's own journal."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import InputError
from costmeter.core.money import format_amount
from costmeter.exports.journal import ACCOUNTS, JOURNAL
from costmeter.prices.read import read_edition
from costmeter.services.expire_credits import expire_credits
from costmeter.services.reprice import reprice
from costmeter.services.void_credit import void_credit
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from tests.exports.writing import exported
from tests.late_prices import with_other_rate
from tests.make import NOW, an_event, at, book, give, grant, record_and_post, set_up_account, top_up, usd
from tests.services.invariants import close

MARCH = Scope.checked(month="2025-03")


def entries(engine: Engine, scope: Scope = MARCH) -> dict[str, dict[str, Any]]:
    """What each entry says, and its legs as signed amounts by journal account; each must balance."""
    found: dict[str, dict[str, Any]] = {}
    for row in exported(engine, JOURNAL, scope):
        debit, credit = row.pop("debit"), row.pop("credit")
        assert (debit is None) != (credit is None), "a leg is on one side"
        assert (debit or credit) > 0
        legs = found.setdefault(row["entry"], {**row, "legs": {}})["legs"]
        assert row["journal_account"] in ACCOUNTS
        assert row["journal_account"] not in legs
        legs[row["journal_account"]] = format_amount((debit or 0) - (credit or 0))
    for entry in found.values():
        assert sum(map(usd, entry["legs"].values())) == 0
        del entry["journal_account"]
    return found


def legs(engine: Engine, scope: Scope = MARCH) -> dict[tuple[str, str], dict[str, str]]:
    """The legs of each entry by its day and memo."""
    return {(str(entry["date"]), entry["memo"]): entry["legs"] for entry in entries(engine, scope).values()}


def test_a_day_of_a_project_and_model_is_one_entry(engine: Engine) -> None:
    grant(engine, "1.50", "2025-03-01T00:00:00Z", reference="welcome")
    top_up(engine, "1.00", "2025-03-02T00:00:00Z", reference="invoice-17")
    record_and_post(
        engine,
        an_event("a", project="x", api_key="one"),
        an_event("b", "2025-03-03T13:00:00Z", project="x", api_key="two"),
        an_event("c", "2025-03-03T14:00:00Z", project="y"),
        an_event("d", "2025-03-04T14:00:00Z"),
        an_event("e", "2025-03-05T14:00:00Z", model="unknown"),
        an_event("f", "2025-03-05T15:00:00Z", output=0),
    )
    found = entries(engine)
    assert found["2025-03-03/1/default"] == {
        "date": at("2025-03-03T00:00:00Z").date(), "entry": "2025-03-03/1/default", "account": "default",
        "project": "x", "model": "deepseek-chat", "currency": "USD", "memo": "usage of deepseek-chat", "adjusts": None,
        "legs": {"usage_cost": "2.20", "granted": "-1.50", "topped_up": "-0.70"},
    }  # fmt: skip
    assert [(key, entry["project"], entry["legs"]) for key, entry in found.items()] == [
        ("1/default", None, {"granted": "1.50", "granted_income": "-1.50"}),
        ("2/default", None, {"topped_up": "1.00", "funding": "-1.00"}),
        ("2025-03-03/1/default", "x", {"usage_cost": "2.20", "granted": "-1.50", "topped_up": "-0.70"}),
        ("2025-03-03/2/default", "y", {"usage_cost": "1.10", "topped_up": "-0.30", "overdraft": "-0.80"}),
        ("2025-03-04/1/default", None, {"usage_cost": "1.10", "overdraft": "-1.10"}),
    ]


def test_what_else_moves_the_balance_is_an_entry_of_its_own(engine: Engine) -> None:
    record_and_post(engine, an_event("before", "2025-03-01T12:00:00Z"))
    grant(
        engine, "0.50", "2025-03-02T00:00:00Z", "2025-03-05T00:00:00Z", reference="welcome", now="2025-03-02T00:00:00Z"
    )
    record_and_post(engine, an_event("a", output=100_000), now="2025-03-04T00:00:00Z")
    expire_credits(engine, book=book(), now=at("2025-03-05T00:00:00Z"))
    record_and_post(engine, an_event("b", "2025-03-06T12:00:00Z"), now="2025-03-06T13:00:00Z")
    top_up(engine, "2.00", "2025-03-07T00:00:00Z", reference="invoice-17", now="2025-03-07T00:00:00Z")
    void_credit(engine, "default", "invoice-17", reason="bounced", by="Ada", now=at(NOW))

    assert legs(engine) == {
        ("2025-03-01", "usage of deepseek-chat"): {"usage_cost": "1.10", "untracked": "-1.10"},
        ("2025-03-02", "welcome added"): {"granted": "0.50", "granted_income": "-0.50"},
        ("2025-03-03", "usage of deepseek-chat"): {"usage_cost": "0.11", "granted": "-0.11"},
        ("2025-03-05", "welcome expired"): {"granted": "-0.39", "expired": "0.39"},
        ("2025-03-06", "usage of deepseek-chat"): {"usage_cost": "1.10", "overdraft": "-1.10"},
        ("2025-03-07", "invoice-17 added"): {"topped_up": "2.00", "funding": "-2.00"},
        ("2025-03-07", "invoice-17 voided"): {"topped_up": "-2.00", "funding": "2.00"},
        ("2025-03-07", "overdraft repaid from invoice-17"): {"topped_up": "-1.10", "overdraft": "1.10"},
        ("2025-03-07", "overdraft repaid from invoice-17, taken back"): {"topped_up": "1.10", "overdraft": "-1.10"},
    }


def test_what_adjusts_a_closed_month_stands_on_the_day_of_booking(engine: Engine) -> None:
    top_up(engine, "5.00", "2025-02-01T00:00:00Z")
    record_and_post(engine, an_event("a", "2025-02-27T12:00:00Z", project="x"), now="2025-02-28T00:00:00Z")
    close(engine, "2025-02")
    february = exported(engine, JOURNAL, Scope.checked(month="2025-02"))
    reprice(engine, book=with_other_rate(), read_book=read_edition, by="Ada", now=at("2025-03-08T00:00:00Z"))
    give(engine, "granted", "1.00", "2025-02-02T00:00:00Z", reference="welcome")

    found = entries(engine)
    assert {(str(entry["date"]), entry["adjusts"]) for entry in found.values()} == {
        ("2025-03-08", "2025-02"), ("2025-03-10", "2025-02")
    }  # fmt: skip
    assert legs(engine) == {
        ("2025-03-08", "usage of deepseek-chat, adjusts 2025-02"): {"usage_cost": "0.40", "topped_up": "-0.40"},
        ("2025-03-10", "usage of deepseek-chat, adjusts 2025-02"): {"topped_up": "1.00", "granted": "-1.00"},
        ("2025-03-10", "welcome added"): {"granted": "1.00", "granted_income": "-1.00"},
    }
    assert exported(engine, JOURNAL, Scope.checked(month="2025-02")) == february, "a closed month never changes"


def test_accounts_stand_in_the_order_of_their_bytes_and_days_within_them(engine: Engine) -> None:
    names = ("b", "a", "B", "é", "aa", "-")
    for name in names:
        top_up(engine, "1.00", "2025-03-05T00:00:00Z", account=name)
        record_and_post(engine, an_event(account=name), an_event("later", "2025-03-07T00:00:00Z", account=name))

    order: dict[str, list[str]] = defaultdict(list)
    for row in exported(engine, JOURNAL, MARCH):
        order[row["account"]].append(str(row["date"]))
    assert [*order] == sorted(names, key=lambda name: name.encode())
    assert all(dates == sorted(dates) and len(set(dates)) == 3 for dates in order.values())


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (Scope.checked(start=at("2025-03-01T00:00:00Z"), end=at(NOW)), "month: a journal is of one billing month"),
        (Scope.checked(month="2025-03", where=["project=x"]), "where 'project=x': a part of an account does not"),
        (MARCH, "currency: there are accounts in CNY and USD"),
    ],
)
def test_a_scope_that_cannot_be_is_refused_before_the_first_row(engine: Engine, scope: Scope, message: str) -> None:
    set_up_account(engine, "usd")
    set_up_account(engine, "cny", "CNY")
    with reading(engine) as connection, pytest.raises(InputError, match=message):
        JOURNAL.rows(connection, scope)
