"""kill -9 of whoever writes and posts: what was acknowledged is stored, the books hold, and the work goes on."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from sqlalchemy import Engine

from costmeter.services.post_all import post_all
from costmeter.services.record_calls import Received, record_calls
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine
from costmeter.store.tables import ChargeRow, EventRow, PendingRow
from tests.forked import Child, Say, fork
from tests.make import NOW, an_event, at, book, counted, give, rows
from tests.services.invariants import check_books

PART, PARTS = 20, 4_000  # so many parts that nobody comes to the end
ROUNDS, WRITERS, POSTERS = 4, 2, 2
LONGEST = 0.6  # seconds until the next kill


def a_part(first: int) -> list[Received]:
    """Calls that the other writer also records."""
    numbers = range(first * PART, (first + 1) * PART)
    return [Received(an_event(f"c{n}", account=f"a{n % 4}", output=n, response_id=f"r{n}")) for n in numbers]


def write_from(url: str, first: int) -> Callable[[Say], None]:
    """Record part after part, and say of each that it is recorded."""

    def work(say: Say) -> None:
        engine = open_engine(url)
        for number in range(first, PARTS):
            record_calls(engine, a_part(number), now=at(NOW), book=book(), home=Home())
            say(number)

    return work


def post_on(url: str) -> Callable[[Say], None]:
    """Post whatever waits, and say how much that was."""

    def work(say: Say) -> None:
        engine = open_engine(url)
        while True:
            if posted := post_all(engine, book=book(), now=at(NOW)):
                say(posted)

    return work


def killed(children: list[Child], dice: random.Random) -> list[list[int]]:
    """What the children had said when each was killed at a moment of its own."""
    for child in dice.sample(children, len(children)):
        time.sleep(dice.uniform(0, LONGEST))
        child.kill()
    ended = [child.end() for child in children]
    assert {code for code, _ in ended} == {-signal.SIGKILL}, "one ended before it was killed"
    return [[int(line) for line in said] for _, said in ended]


def test_whoever_is_killed_loses_nothing_that_was_acknowledged(engine: Engine, database_url: str) -> None:
    give(engine, "granted", "0.50", "2025-03-01T00:00:00Z", account="a0")
    dice, reached, posted = random.Random(7), -1, 0
    for _ in range(ROUNDS):
        engine.dispose()  # a child must not share a connection
        children = [fork(write_from(database_url, max(0, reached))) for _ in range(WRITERS)]
        children += [fork(post_on(database_url)) for _ in range(POSTERS)]
        said = killed(children, dice)
        reached = max(reached, *(number for numbers in said[:WRITERS] for number in numbers))
        posted += sum(number for numbers in said[WRITERS:] for number in numbers)
        stored = {row["event_id"] for row in rows(engine, EventRow)}
        assert {f"c{n}" for n in range((reached + 1) * PART)} <= stored
        assert posted <= len(rows(engine, ChargeRow))
        assert verify(engine, full=True) == []
    assert reached > 0
    assert posted > 0
    post_all(engine, book=book(), now=at(NOW))
    assert counted(engine, PendingRow) == [0]
    assert verify(engine, full=True) == []
    check_books(engine)
