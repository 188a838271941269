"""What is held back of an account's balance: never more than it has, whoever asks, posts or tops up at once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, delete, update

from costmeter.core.budgets import BALANCE
from costmeter.core.reservations import LIFETIME, Reservation
from costmeter.services.expire_reservations import expire_reservations
from costmeter.services.post_all import post_all
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.reserve import Ask, reserve
from costmeter.services.settle_reservation import release_reservation
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store import budgets
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import AccountRow, BudgetPeriodRow, BudgetRow, ReservationRow
from tests.forked import Say, fork
from tests.make import (
    NOW,
    an_event,
    at,
    book,
    counted,
    grant,
    post,
    record,
    record_and_post,
    rows,
    set_up_account,
    top_up,
    usd,
)
from tests.services.reserving import a_budget, ask, check_reserved, later, refused, reserved
from tests.services.test_reservation_races import at_once

MARCH = "2025-03-01T00:00:00Z"


def of_balance(cost: str = "1.00", **more: Any) -> Ask:
    return ask(cost, of_balance=True, **more)


def held(engine: Engine) -> int:
    (row,) = rows(engine, BudgetPeriodRow, where=BudgetPeriodRow.number == BALANCE)
    amount: int = row["reserved"]
    return amount


def test_what_is_held_is_not_there_for_others_and_a_charge_takes_its_place(engine: Engine) -> None:
    top_up(engine, "3.00", MARCH)
    first = reserved(engine, of_balance("1.10", event_id="e1"))
    assert [part.number for part in first.parts] == [BALANCE]
    why = refused(engine, of_balance("1.91"))
    assert (why.budget.number, why.budget.amount, why.reserved, why.left) == (0, usd("3.00"), usd("1.10"), usd("1.90"))
    assert reserved(engine, of_balance("1.90")).cost == usd("1.90")

    record_and_post(engine, an_event("e1"))  # costs 1.10
    assert held(engine) == usd("1.90")
    assert refused(engine, of_balance("0.000000000001")).left == 0
    top_up(engine, "0.50", MARCH)
    assert refused(engine, of_balance("0.51")).left == usd("0.50")
    assert reserved(engine, of_balance("0.50")).cost == usd("0.50")
    check_reserved(engine)
    assert verify(engine, full=True) == []


def test_only_credits_that_count_until_the_reservation_expires_are_there(engine: Engine) -> None:
    in_time = later(NOW, seconds=LIFETIME.total_seconds())
    grant(engine, "1.00", MARCH, expires_at=in_time)
    grant(engine, "2.00", MARCH, expires_at=later(NOW, seconds=LIFETIME.total_seconds() - 1))
    grant(engine, "4.00", later(NOW, seconds=1))
    top_up(engine, "8.00", MARCH, reference="voided")
    void_credit(engine, "default", "voided", reason="by mistake", by="root", now=at(NOW))
    assert refused(engine, of_balance("1.01")).left == usd("1.00")
    assert reserved(engine, of_balance("1.00")).parts


def test_what_is_owed_is_not_there(engine: Engine) -> None:
    top_up(engine, "1.00", MARCH)
    record_and_post(engine, an_event("e1"))
    assert refused(engine, of_balance("0.00")).left == usd("-0.10")
    grant(engine, "1.00", later(NOW, hours=-1))  # which never repays
    assert refused(engine, of_balance("0.91")).left == usd("0.90")


@pytest.mark.parametrize("account", ["unheard-of", "untracked", "opens-later"])
def test_an_account_that_keeps_no_balance_is_not_stopped_by_it(engine: Engine, account: str) -> None:
    for name in ("untracked", "opens-later"):
        set_up_account(engine, name)
    top_up(engine, "1.00", later(NOW, days=1), account="opens-later")
    assert reserved(engine, of_balance("5.00", account=account)).cost == usd("5.00")
    assert verify(engine, full=True) == []


def test_balance_and_budgets_are_held_all_or_none(engine: Engine) -> None:
    a_budget(engine, amount="2.00")
    top_up(engine, "1.00", MARCH)
    given = reserved(engine, of_balance("0.60"))
    assert [part.number for part in given.parts] == [BALANCE, 1]
    assert refused(engine, of_balance("0.50")).budget.number == BALANCE
    assert refused(engine, ask("1.50")).budget.number == 1
    assert reserved(engine, ask("1.40")).parts  # of the budget alone
    assert refused(engine, of_balance("0.10")).budget.number == 1
    assert held(engine) == usd("0.60")
    release_reservation(engine, "default", given.reservation_id or b"", now=at(NOW))
    assert held(engine) == 0
    check_reserved(engine)


def test_it_is_no_budget_that_anybody_sees(engine: Engine) -> None:
    top_up(engine, "5.00", MARCH)
    reserved(engine, of_balance())
    with reading(engine) as connection:
        assert budgets.in_force(connection) == []
    assert a_budget(engine).number == 1
    record_and_post(engine, an_event("e1"))
    assert {row["number"]: row["spent"] for row in rows(engine, BudgetPeriodRow)} == {BALANCE: 0, 1: usd("1.10")}


def test_verify_finds_a_sum_that_is_wrong_and_a_rebuild_makes_it_again(engine: Engine) -> None:
    top_up(engine, "5.00", MARCH)
    reserved(engine, of_balance("2.00"))
    with engine.begin() as connection:
        connection.execute(update(BudgetPeriodRow).values(reserved=7))
    (finding,) = verify(engine, full=True)
    assert finding.what.startswith("budget 'balance' has 0.000000000007 USD reserved in its period from 2000-01-01")
    assert finding.what.endswith("its open reservations hold 2.00")
    with engine.begin() as connection:
        connection.execute(delete(BudgetPeriodRow))
        connection.execute(update(AccountRow).values(frozen_at=None))
    rebuild_projections(engine)
    assert held(engine) == usd("2.00")


def test_what_has_expired_holds_nothing_back(engine: Engine) -> None:
    top_up(engine, "1.00", MARCH)
    reserved(engine, of_balance("1.00"))
    tomorrow = later(NOW, days=1)
    assert reserved(engine, of_balance("1.00"), now=tomorrow).cost == usd("1.00")
    expire_reservations(engine, now=at(later(tomorrow, days=1)))
    assert held(engine) == 0


def test_a_sum_past_64_bits_is_refused_and_wraps_nothing(engine: Engine) -> None:
    set_up_account(engine, "default")
    most = Ask("default", 2**62, 0, "o", of_balance=True)
    reserved(engine, most)
    assert refused(engine, most).reserved == 2**63 - 2**62
    assert held(engine) == 2**62
    check_reserved(engine)


def test_threads_that_reserve_post_and_top_up_never_hold_more_than_there_is(engine: Engine) -> None:
    """Each call reserves what it costs: what is taken and held together never passes what was paid."""
    top_up(engine, "5.50", MARCH)
    paid = usd("5.50")

    def work(number: int) -> int:
        given = 0
        for turn in range(6):
            event_id = f"e{number}-{turn}"
            found = reserve(engine, of_balance("1.10", event_id=event_id), now=at(NOW))
            if isinstance(found, Reservation):
                given += 1
                record(engine, an_event(event_id))
                post_all(engine, book=book(), now=at(NOW))
            elif number == 0 and turn == 3:
                top_up(engine, "2.20", MARCH, reference="more")
        return given

    found = at_once(6, work)
    paid += usd("2.20")
    assert sum(found) <= paid // usd("1.10")  # type: ignore[arg-type]  # numbers
    assert sum(found) >= 5  # type: ignore[arg-type]
    (row,) = [row for row in rows(engine, BudgetRow) if row["number"] == BALANCE]
    assert row["removed_at"] is not None
    assert [account["overdraft"] for account in rows(engine, AccountRow)] == [0]
    assert held(engine) == 0
    assert verify(engine, full=True) == []


def test_processes_never_take_more_than_there_is(engine: Engine, database_url: str) -> None:
    top_up(engine, "5.50", MARCH)

    def work_as(number: int) -> Any:
        def work(say: Say) -> None:
            own = open_engine(database_url)
            for turn in range(4):
                event_id = f"e{number}-{turn}"
                found = reserve(own, of_balance("1.10", event_id=event_id), now=at(NOW))
                say(type(found).__name__)
                if isinstance(found, Reservation):
                    record(own, an_event(event_id))
                    post(own)

        return work

    engine.dispose()  # a child must not share a connection
    ended = [child.end() for child in [fork(work_as(number)) for number in range(4)]]
    assert [code for code, _ in ended] == [0] * 4
    said = [line for _, lines in ended for line in lines]
    assert said.count("Reservation") == 5
    assert counted(engine, ReservationRow) == [5]
    assert [account["overdraft"] for account in rows(engine, AccountRow)] == [0]
    assert verify(engine, full=True) == []
