"""All or nothing: whichever statement fails or ends its process, what was stored before is what is stored after."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, delete, event

from costmeter.prices.read import read_edition
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.post_charges import post_accounts
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.record_calls import Received, record_calls
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction, open_engine
from costmeter.store.tables import CreditBalanceRow, DayRow, PendingRow, Table
from tests.forked import Say, fork
from tests.late_prices import with_other_rate
from tests.make import NOW, an_event, an_unmetered, at, book, give, record, record_and_post, rows, top_up, usd

OPENING = "2025-03-01T00:00:00Z"
ENDED = 77  # the exit code of a process that the hook has ended


class StopError(Exception):
    """What the hook raises in place of a statement."""


@contextmanager
def failing_at(engine: Engine, number: int) -> Iterator[list[str]]:
    """Raise at the statement of that number, counted from 1; gives the statements that began."""
    began: list[str] = []

    def hook(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        began.append(statement)
        if len(began) == number:
            raise StopError(statement)

    event.listen(engine, "before_cursor_execute", hook)
    try:
        yield began
    finally:
        event.remove(engine, "before_cursor_execute", hook)


def everything(engine: Engine) -> dict[str, list[str]]:
    """All rows of all tables."""
    tables = [mapper.class_ for mapper in Table.registry.mappers]
    return {table.__tablename__: sorted(map(repr, rows(engine, table))) for table in tables}


def fails_everywhere(engine: Engine, case: Case) -> None:
    """The work is stopped at each of its statements in turn, and changes nothing; then it is done."""
    before = everything(engine)
    number = 1
    while True:
        with failing_at(engine, number) as began:
            try:
                case.work(engine)
            except StopError:
                assert everything(engine) == before, began[-1]
            else:
                break
        number += 1
    assert number > case.least
    assert everything(engine) != before
    assert verify(engine, full=True) == []


def ends_everywhere(engine: Engine, url: str, case: Case) -> None:
    """A process ends at each statement of the work in turn, and has changed nothing; then one does it."""
    before = everything(engine)
    code, number = ENDED, 0
    while code == ENDED:
        number += 1
        engine.dispose()  # a child must not share a connection
        code, _ = fork(ending_at(url, number, case)).end()
        assert code == 0 or everything(engine) == before, number
    assert code == 0
    assert number > case.least
    assert everything(engine) != before
    assert verify(engine, full=True) == []


def ending_at(url: str, number: int, case: Case) -> Callable[[Say], None]:
    """Do the work on an engine of its own, and end the process at the statement of that number."""

    def run(_say: Say) -> None:
        engine = open_engine(url)
        with engine.connect():  # else the first statements are SQLAlchemy's, which asks what the server can do
            pass
        began: list[str] = []

        def hook(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            began.append(statement)
            if len(began) == number:
                os._exit(ENDED)

        event.listen(engine, "before_cursor_execute", hook)
        case.work(engine)

    return run


class Case(NamedTuple):
    """Some work in one transaction of more than so many statements, and what is there before."""

    prepare: Callable[[Engine], object]
    work: Callable[[Engine], object]
    least: int


def recorded(*bodies: object) -> Callable[[Engine], object]:
    """Records bodies as a file."""
    received = [Received(body, f"line {number}") for number, body in enumerate(bodies, 1)]
    return lambda engine: record_calls(engine, received, now=at(NOW), book=book(), home=Home())


def three_accounts(engine: Engine) -> None:
    """One with a grant that expired and a top-up after an overdraft, one with a credit, one with none."""
    give(engine, "granted", "0.50", OPENING, expires_at="2025-03-02T00:00:00Z", account="a")
    give(engine, "granted", "5.00", OPENING, account="b")
    record(engine, *(an_event(f"{name}{n}", account=name) for name in "abc" for n in range(3)))
    top_up(engine, "2.00", "2025-03-05T00:00:00Z", account="a")


def three_posted_calls(engine: Engine) -> None:
    """Two that were paid by the credit named "first", and what is left of the third a later one has repaid."""
    give(engine, "granted", "2.50", OPENING, reference="first")
    record_and_post(engine, *(an_event(f"c{n}", f"2025-03-03T1{n}:00:00Z") for n in range(3)))
    top_up(engine, "5.00", "2025-03-05T00:00:00Z")


def three_posted_calls_without_projections(engine: Engine) -> None:
    three_posted_calls(engine)
    record(engine, an_event("waiting"))
    for table in (DayRow, CreditBalanceRow, PendingRow):
        in_transaction(engine, lambda connection: connection.execute(delete(table)))  # noqa: B023  run at once


def nothing(_engine: Engine) -> None:
    """An empty database."""


CASES = {
    "recording new calls": Case(nothing, recorded(*(an_event(f"c{n}", account=f"a{n % 3}") for n in range(9))), 7),
    "recording a mixed file": Case(
        lambda engine: record(engine, an_event("known"), an_unmetered("unmetered")),
        # New calls of two accounts, a duplicate, a conflict, a measured call after its unmetered one, a broken one.
        recorded(
            an_event("new", response_id="r-new"), an_event("new-b", account="b"), an_event("known"),
            an_event("known", output=7), an_event("unmetered"), an_event("broken", output=-1),
        ),
        9,
    ),
    "posting several accounts": Case(
        three_accounts, lambda engine: post_accounts(engine, ["a", "b", "c"], book=book(), now=at(NOW)), 14
    ),
    "adding a credit": Case(
        three_posted_calls,
        lambda engine: add_credit(
            engine, NewCredit("default", "topped_up", usd("1.00")), by="finance", home=Home(), now=at(NOW)
        ),
        8,
    ),
    "adding a credit late": Case(
        three_posted_calls,
        lambda engine: add_credit(
            engine,
            NewCredit("default", "granted", usd("1.00"), None, at(OPENING), at(NOW)),
            by="finance",
            home=Home(),
            now=at(NOW),
        ),
        14,
    ),
    "voiding a credit": Case(
        three_posted_calls,
        lambda engine: void_credit(engine, "default", "first", reason="a mistake", by="Ada", now=at(NOW)),
        14,
    ),
    "repricing a month": Case(
        three_posted_calls,
        lambda engine: reprice(engine, book=with_other_rate(), read_book=read_edition, by="finance", now=at(NOW)),
        14,
    ),
    "rebuilding": Case(three_posted_calls_without_projections, rebuild_projections, 14),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, engine: Engine) -> Case:
    found = CASES[request.param]
    found.prepare(engine)
    return found


def test_a_statement_that_fails_changes_nothing(engine: Engine, case: Case) -> None:
    fails_everywhere(engine, case)


def test_a_process_that_ends_changes_nothing(engine: Engine, database_url: str, case: Case) -> None:
    ends_everywhere(engine, database_url, case)
