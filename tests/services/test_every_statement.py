"""All or nothing: whichever statement of recording or posting fails, what was stored before is what is stored after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.post_charges import post_accounts
from costmeter.services.record_calls import Received, record_calls
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.tables import Table
from tests.make import NOW, an_event, an_unmetered, at, book, give, record, rows, top_up, usd

OPENING = "2025-03-01T00:00:00Z"


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


def fails_everywhere(engine: Engine, work: Callable[[], object], least: int) -> None:
    """The work is stopped at each of its statements in turn, and changes nothing; then it is done."""
    before = everything(engine)
    number = 1
    while True:
        with failing_at(engine, number) as began:
            try:
                work()
            except StopError:
                assert everything(engine) == before, began[-1]
            else:
                break
        number += 1
    assert number > least
    assert everything(engine) != before
    assert verify(engine) == []


def a_mixed_file() -> list[Received]:
    """New calls of two accounts, a duplicate, a conflict, a measured call after its unmetered one, and a broken one."""
    bodies: list[object] = [
        an_event("new", response_id="r-new"),
        an_event("new-b", account="b"),
        an_event("known"),
        an_event("known", output=7),
        an_event("unmetered"),
        an_event("broken", output=-1),
    ]
    return [Received(body, f"line {number}") for number, body in enumerate(bodies, 1)]


def test_recording_new_calls(engine: Engine) -> None:
    received = [Received(an_event(f"c{number}", account=f"a{number % 3}")) for number in range(9)]
    fails_everywhere(engine, lambda: record_calls(engine, received, now=at(NOW), book=book(), home=Home()), least=7)


def test_recording_a_mixed_file(engine: Engine) -> None:
    record(engine, an_event("known"), an_unmetered("unmetered"))
    received = a_mixed_file()
    fails_everywhere(engine, lambda: record_calls(engine, received, now=at(NOW), book=book(), home=Home()), least=9)


def test_posting_several_accounts(engine: Engine) -> None:
    """One with a grant that expired and a top-up after an overdraft, one with a credit, one with none."""
    give(engine, "granted", "0.50", OPENING, expires_at="2025-03-02T00:00:00Z", account="a")
    give(engine, "granted", "5.00", OPENING, account="b")
    record(engine, *(an_event(f"{name}{n}", account=name) for name in "abc" for n in range(3)))
    top_up(engine, "2.00", "2025-03-05T00:00:00Z", account="a")
    fails_everywhere(engine, lambda: post_accounts(engine, ["a", "b", "c"], book=book(), now=at(NOW)), least=14)


def test_adding_a_credit(engine: Engine) -> None:
    give(engine, "granted", "0.50", OPENING)
    record(engine, an_event("a"))
    post_accounts(engine, ["default"], book=book(), now=at(NOW))
    new = NewCredit("default", "topped_up", usd("1.00"), reference="r")
    fails_everywhere(engine, lambda: add_credit(engine, new, home=Home(), now=at(NOW)), least=8)
