"""Whoever reserves, ends, posts or is killed at the same time: no limit is passed, and nothing leaks."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from costmeter.core.reservations import EXPIRED, LIFETIME, OPEN, RELEASED, SETTLED, Refusal, Reservation
from costmeter.services.expire_reservations import expire_reservations
from costmeter.services.post_all import post_all
from costmeter.services.reserve import reserve
from costmeter.services.settle_reservation import release_reservation, settle_reservation
from costmeter.services.verify import verify
from costmeter.store.engine import open_engine
from costmeter.store.tables import BudgetPeriodRow, ReservationRow
from tests.forked import Child, Say, fork
from tests.make import NOW, an_event, at, book, record, rows, top_up, usd
from tests.services.reserving import a_budget, ask, check_reserved, later, reserved, standing
from tests.services.test_every_statement import ENDED, Case, ending_at, nothing

ASKED = 1_000  # at once
HELD = 613  # of them fit
EACH, AND_A_BIT = "0.01", "0.009999999999"  # less than one more is left at the end


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """What each of so many threads gives that begin together."""
    found: list[object] = [None] * count
    begin = threading.Barrier(count)

    def run(number: int) -> None:
        begin.wait()
        found[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def a_limit(engine: Engine) -> None:
    """A budget with room for HELD reservations and not quite for one more, and a larger one."""
    a_budget(engine, "large", amount="1000.00")
    tight = usd(EACH) * HELD + usd(AND_A_BIT)
    a_budget(engine, "tight", amount=f"{tight // 10**12}.{tight % 10**12:012}")


def check_it_is_full(engine: Engine) -> None:
    held = usd(EACH) * HELD
    assert standing(engine) == {("large", "03-01"): (0, held), ("tight", "03-01"): (0, held)}
    assert len(rows(engine, ReservationRow)) == HELD
    check_reserved(engine)


def test_threads_fill_a_budget_to_the_last_that_fits_and_never_pass_it(engine: Engine) -> None:
    a_limit(engine)

    def work(_: int) -> list[Reservation | Refusal]:
        return [reserve(engine, ask(EACH), now=at(NOW)) for _ in range(ASKED // 40)]

    answers = [answer for some in at_once(40, work) for answer in some]  # type: ignore[attr-defined]  # lists
    assert Counter(map(type, answers)) == {Reservation: HELD, Refusal: ASKED - HELD}
    assert {answer.budget.name for answer in answers if isinstance(answer, Refusal)} == {"tight"}
    check_it_is_full(engine)


def test_processes_fill_a_budget_to_the_last_that_fits_and_never_pass_it(engine: Engine, database_url: str) -> None:
    a_limit(engine)

    def work(say: Say) -> None:
        own = open_engine(database_url)
        for _ in range(ASKED // 4):
            say(type(reserve(own, ask(EACH), now=at(NOW))).__name__)

    engine.dispose()  # a child must not share a connection
    ended = [child.end() for child in [fork(work) for _ in range(4)]]
    assert [code for code, _ in ended] == [0] * 4
    assert Counter(line for _, said in ended for line in said) == {"Reservation": HELD, "Refusal": ASKED - HELD}
    check_it_is_full(engine)


def test_one_call_asked_for_by_many_has_one_reservation(engine: Engine) -> None:
    a_budget(engine)
    found = at_once(16, lambda _: reserved(engine, ask(event_id="e1")).reservation_id)
    assert len(set(found)) == 1
    assert standing(engine) == {("all", "03-01"): (0, usd("1.00"))}


def test_budgets_in_any_order_keep_nobody_waiting_in_a_circle(engine: Engine) -> None:
    """Calls of two projects and a user meet at budgets of each, while others post and end what is held."""
    for name, where in (("b", "project=p"), ("a", "user=u"), ("d", "project=q"), ("c", "model=deepseek-chat")):
        a_budget(engine, name, amount="1000.00", where=[where])
    model = "deepseek-chat"

    def work(number: int) -> None:
        for turn in range(6):
            name, project = f"e{number}-{turn}", "pq"[number % 2]
            given = reserved(engine, ask(event_id=name, project=project, user="u", model=model))
            assert given.reservation_id is not None
            if turn % 3 == 0:
                record(engine, an_event(name, project=project, user="u"))
                post_all(engine, book=book(), now=at(NOW))
            if turn % 3 != 1:
                settle_reservation(engine, "default", given.reservation_id, now=at(NOW))
            else:
                expire_reservations(engine, now=at(NOW) + LIFETIME)

    at_once(8, work)
    expire_reservations(engine, now=at(NOW) + LIFETIME)
    assert {held for _, held in standing(engine).values()} == {0}
    assert {row["state"] for row in rows(engine, ReservationRow)} <= {SETTLED, EXPIRED}
    assert verify(engine, full=True) == []


def test_settling_releasing_expiring_and_posting_end_each_reservation_once(engine: Engine) -> None:
    a_budget(engine)
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    for turn in range(8):
        given = reserved(engine, ask(event_id=f"e{turn}"))
        key, late = given.reservation_id or b"", at(NOW) + LIFETIME
        if turn % 2:
            record(engine, an_event(f"e{turn}"))
        ways: list[Callable[[], object]] = [
            lambda: settle_reservation(engine, "default", key, now=at(NOW)).is_new,  # noqa: B023  run at once
            lambda: release_reservation(engine, "default", key, now=at(NOW)).is_new,  # noqa: B023
            lambda: expire_reservations(engine, now=late) == 1,  # noqa: B023
            lambda: post_all(engine, book=book(), now=at(NOW)) and None,
        ]
        ended = at_once(len(ways) * 2, lambda number: ways[number // 2]())  # noqa: B023
        (row,) = rows(engine, ReservationRow, where=ReservationRow.reservation_id == key)
        by_others = sum(one is True for one in ended)
        assert by_others == 1 or (by_others == 0 and row["state"] == SETTLED and turn % 2)
        assert row["state"] in (SETTLED, RELEASED, EXPIRED)
        check_reserved(engine)
    post_all(engine, book=book(), now=at(NOW))
    assert standing(engine) == {("all", "03-01"): (usd("1.10") * 4, 0)}
    assert verify(engine, full=True) == []


def test_a_sum_that_somebody_reads_neither_dips_nor_doubles_while_charges_come(engine: Engine) -> None:
    """Each call reserves what it costs: what is spent and reserved together stays as it is, whenever one looks."""
    a_budget(engine)
    for number in range(9):
        reserved(engine, ask("1.10", event_id=f"e{number}"))
    seen: set[int] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.update(spent + held for spent, held in standing(engine).values())

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(9):
        record(engine, an_event(f"e{number}"))
        post_all(engine, book=book(), now=at(NOW))
    stop.set()
    thread.join()
    assert seen == {usd("9.90")}
    assert standing(engine) == {("all", "03-01"): (usd("9.90"), 0)}


def hold_and_end(url: str, number: int) -> Callable[[Say], None]:
    """Reserve, record, settle and release for ever, as a gateway does."""

    def work(_: Say) -> None:
        engine, turn = open_engine(url), 0
        while True:
            turn += 1
            event_id, now = f"{number}-{turn}", datetime.now(UTC)
            given = reserve(engine, ask("1.10", event_id=event_id, lifetime=timedelta(seconds=1)), now=now)
            if not isinstance(given, Reservation) or given.reservation_id is None or turn % 4 == 0:
                continue
            if turn % 4 == 1:
                record(engine, an_event(event_id), now=NOW)
                post_all(engine, book=book(), now=now)
            elif turn % 4 == 2:
                release_reservation(engine, "default", given.reservation_id, now=now)
            else:
                settle_reservation(engine, "default", given.reservation_id, now=now)

    return work


def test_holders_that_are_killed_leak_nothing_once_their_reservations_have_expired(
    engine: Engine, database_url: str
) -> None:
    """The budget counts what comes today and the calls are of 2025, so that all of it is there to be held again."""
    a_budget(engine, amount="22.00", per="all", now=later(NOW, days=1))
    dice = random.Random(11)
    for turn in range(3):
        engine.dispose()  # a child must not share a connection
        children: list[Child] = [fork(hold_and_end(database_url, 10 * turn + number)) for number in range(3)]
        for child in children:
            time.sleep(dice.uniform(0.2, 0.6))
            child.kill()
        assert {child.end()[0] for child in children} == {-signal.SIGKILL}
        check_reserved(engine)
        (period,) = rows(engine, BudgetPeriodRow)
        assert period["reserved"] <= period["room"]
    assert len(rows(engine, ReservationRow)) > 10
    post_all(engine, book=book(), now=datetime.now(UTC))
    expire_reservations(engine, now=datetime.now(UTC) + timedelta(seconds=1))
    (period,) = rows(engine, BudgetPeriodRow)
    assert (period["reserved"], period["spent"]) == (0, 0)
    assert OPEN not in {row["state"] for row in rows(engine, ReservationRow)}
    assert verify(engine, full=True) == []


@pytest.mark.parametrize("steps", ["reserving", "settling", "expiring", "posting"])
def test_a_process_that_ends_at_any_statement_leaves_all_or_nothing(
    engine: Engine, database_url: str, steps: str
) -> None:
    """Between any two statements: what is reserved is always what is open, and expires."""
    a_budget(engine, "first")
    a_budget(engine, "second", tokens=5_000)
    for name in ("held", "waiting"):
        reserved(engine, ask("1.00", 1_000, event_id=name))
    record(engine, an_event("waiting"))
    given = reserved(engine, ask("2.00", 2_000))
    tomorrow = at(later(NOW, days=1))

    def work(own: Engine) -> object:
        if steps == "reserving":
            return reserve(own, ask("3.00", 1_000, event_id="new"), now=at(NOW))
        if steps == "settling":
            return settle_reservation(own, "default", given.reservation_id or b"", now=at(NOW))
        if steps == "expiring":
            return expire_reservations(own, now=tomorrow)
        return post_all(own, book=book(), now=at(NOW))

    before = rows(engine, ReservationRow, ReservationRow.reservation_id)
    code, number = ENDED, 0
    while code == ENDED:
        number += 1
        engine.dispose()  # a child must not share a connection
        code, _ = fork(ending_at(database_url, number, Case(prepare=nothing, work=work, least=4))).end()
        check_reserved(engine)
        if code == ENDED:
            assert rows(engine, ReservationRow, ReservationRow.reservation_id) == before
    assert code == 0
    assert number > 3
    assert rows(engine, ReservationRow, ReservationRow.reservation_id) != before
    post_all(engine, book=book(), now=at(NOW))
    expire_reservations(engine, now=tomorrow)
    assert {held for _, held in standing(engine).values()} == {0}
    assert verify(engine, full=True) == []
