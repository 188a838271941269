"""Many recorders and posters on one database, whose deadlocks are found at once and whose connections are cut."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from costmeter.core.errors import InputError
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.capture import capture
from costmeter.services.post_all import post_all
from costmeter.services.record_calls import Received, record_calls
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.events import pending_accounts
from costmeter.store.tables import ChargeRow, CreditRow, EventRow, IdentityRow, PendingRow
from tests.forked import Say, fork
from tests.make import (
    NOW,
    an_event,
    at,
    book,
    counted,
    give,
    outcome,
    quarantined,
    record,
    rows,
    set_up_account,
    splits,
    usd,
)
from tests.services.invariants import check_books

T = TypeVar("T")

OPENING = "2025-03-01T00:00:00Z"
CUT = ("57P01", None)  # admin_shutdown, or no answer at all
CALLS, ACCOUNTS, PART = 240, 6, 24
CONTRADICTED = 10  # calls of which there are two versions
CREDITS = 6
# A deadlock is looked for after a moment, and a wait for a lock that does not end is an error.
IMPATIENT = "-c deadlock_timeout=10ms -c lock_timeout=20s"
PROCESSES, WRITERS, POSTERS = 4, 8, 8  # writers are threads of each process, posters of one more


def the_calls(seed: int) -> list[list[dict[str, object]]]:
    """The same calls for every recorder, each in an order of its own, in parts; some came late, a few say otherwise."""
    bodies = [
        an_event(
            f"c{number}",
            f"2025-03-0{2 + number % 7}T12:00:00Z",
            account=f"a{number % ACCOUNTS}",
            output=1_000 * number + (seed % 2 if number < CONTRADICTED else 0),
            response_id=f"r{number}",
        )
        for number in range(CALLS)
    ]
    random.Random(seed).shuffle(bodies)
    return [bodies[start : start + PART] for start in range(0, CALLS, PART)]


def impatient(url: str) -> Engine:
    """An engine whose PostgreSQL does not wait long; it has connected once, and reads what the server can do."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        url = parsed.update_query_dict({"options": IMPATIENT}).render_as_string(hide_password=False)
    engine = open_engine(url)
    uncut(engine.connect)[0].close()
    return engine


def uncut(work: Callable[[], T]) -> tuple[T, int]:
    """What work returns, tried again as the spool does while its connection is cut; and how often it was."""
    cut = 0
    while True:
        try:
            return work(), cut
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in CUT:
                raise
            cut += 1


def capture_all(engine: Engine, seed: int) -> tuple[int, int]:
    """Capture all calls: how many were accepted, and how often a connection was cut.

    A commit whose answer was cut off is a duplicate when it comes again, so fewer may be accepted than there are.
    """
    accepted = cut = 0
    for part in the_calls(seed):
        tally, more = uncut(lambda: capture(engine, part, book=book(), home=Home(), now=at(NOW)))  # noqa: B023
        accepted, cut = accepted + tally.accepted, cut + more
    return accepted, cut


def record_some(engine: Engine, seed: int) -> tuple[int, int]:
    """Record a quarter of the calls without posting them: what was accepted, and how often a connection was cut."""
    accepted = cut = 0
    for part in the_calls(seed)[: CALLS // PART // 4]:
        received = [Received(body) for body in part]
        tally, more = uncut(lambda: record_calls(engine, received, now=at(NOW), book=book(), home=Home()))  # noqa: B023
        accepted, cut = accepted + tally.accepted, cut + more
    return accepted, cut


def add_credits(engine: Engine) -> None:
    """Credits that begin in the past: what is posted is folded again. Whoever comes second finds them."""
    for number in range(CREDITS):
        starts = at(f"2025-03-0{1 + number}T00:00:00Z")
        kind = ("granted", "topped_up")[number % 2]
        new = NewCredit(f"a{number % 3}", kind, usd("2.00"), None, starts, None, f"credit {number}")
        uncut(lambda: add_credit(engine, new, by="finance", home=Home(), now=at(NOW)))  # noqa: B023  run at once


def write_in_threads(url: str, first: int) -> Callable[[Say], None]:
    """The work of a process of writers: all record the same calls, one to the end, and one adds credits before."""

    def work(say: Say) -> None:
        engine = impatient(url)

        def write(seed: int) -> tuple[int, int]:
            if seed % WRITERS == WRITERS - 1:
                add_credits(engine)
            return (capture_all if seed % WRITERS == seed // WRITERS else record_some)(engine, seed)

        with ThreadPoolExecutor(WRITERS) as pool:
            for accepted, cut in pool.map(write, range(first, first + WRITERS)):
                say(f"{accepted} {cut}")

    return work


def post_in_threads(url: str, over: Path) -> Callable[[Say], None]:
    """The work of the posters: half of them miscount how many they are, so that they meet in the same accounts."""

    def work(say: Say) -> None:
        engine = impatient(url)

        def go_on(number: int) -> int:
            shards = POSTERS if number % 2 else 3
            cut = 0
            while not over.exists():
                cut += uncut(lambda: post_all(engine, book=book(), now=at(NOW), shard=number % shards, shards=shards))[
                    1
                ]
            return cut

        with ThreadPoolExecutor(POSTERS) as pool:
            for cut in pool.map(go_on, range(POSTERS)):
                say(cut)

    return work


@contextmanager
def cutting_connections(url: str) -> Iterator[None]:
    """Cut a random connection of the database every moment."""
    done = threading.Event()

    def cut() -> None:
        engine = open_engine(url)
        others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while not done.wait(0.05):
            with engine.connect() as connection:
                pick = text(f"SELECT pg_terminate_backend(pid) FROM ({others} ORDER BY random() LIMIT 1) AS one")
                connection.execute(pick)
        engine.dispose()

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def check_each_is_there_once(engine: Engine) -> None:
    assert counted(engine, EventRow, IdentityRow, PendingRow) == [CALLS, 2 * CALLS, 0]
    assert sum(row["sign"] for row in rows(engine, ChargeRow)) == CALLS
    assert len(rows(engine, ChargeRow, where=ChargeRow.revision == 1)) == CALLS
    assert {row["event_id"] for row in rows(engine, EventRow)} == {f"c{number}" for number in range(CALLS)}
    assert {row["event_id"] for row in quarantined(engine)} == {f"c{number}" for number in range(CONTRADICTED)}
    assert verify(engine, full=True) == []


def test_recorders_of_the_same_calls_record_and_post_each_once(engine: Engine, database_url: str) -> None:
    give(engine, "granted", "1.00", OPENING, account="a0")
    engines = [impatient(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(capture_all, engines, range(4)))
    for own in engines:
        own.dispose()
    assert sum(accepted for accepted, _ in answers) == CALLS
    assert not any(cut for _, cut in answers)
    check_each_is_there_once(engine)


def test_32_writers_and_8_posters_whose_connections_are_cut_lose_nothing(postgres_url: str, tmp_path: Path) -> None:
    over = tmp_path / "over"
    posters = fork(post_in_threads(postgres_url, over))
    writers = [fork(write_in_threads(postgres_url, number * WRITERS)) for number in range(PROCESSES)]
    with cutting_connections(postgres_url):
        ended = [writer.end() for writer in writers]
        over.touch()
        ended.append(posters.end())
    assert [code for code, _ in ended] == [0] * (PROCESSES + 1)
    assert sum(int(line.split()[-1]) for _, said in ended for line in said) > 0, "no connection was cut"
    engine = open_engine(postgres_url)
    post_all(engine, book=book(), now=at(NOW))
    assert counted(engine, CreditRow) == [CREDITS]
    check_each_is_there_once(engine)
    check_books(engine)
    engine.dispose()


def test_8_processes_on_one_file_record_and_post_each_once(sqlite_url: str) -> None:
    """No wait ends in "database is locked": each has its turn."""

    def capture_in(seed: int) -> Callable[[Say], object]:
        return lambda say: say(capture_all(open_engine(sqlite_url), seed)[0])

    ended = [child.end() for child in [fork(capture_in(seed)) for seed in range(8)]]
    assert [code for code, _ in ended] == [0] * 8
    assert sum(int(accepted) for _, said in ended for accepted in said) == CALLS
    engine = open_engine(sqlite_url)
    check_each_is_there_once(engine)
    check_books(engine)
    engine.dispose()


def test_an_account_that_another_recorder_makes_meanwhile_is_found(postgres_url: str) -> None:
    engine, other = open_engine(postgres_url), open_engine(postgres_url)

    @event.listens_for(engine, "after_cursor_execute", once=True)
    def _after_the_first_look(*_: object) -> None:
        set_up_account(other, "new", timezone="Asia/Shanghai")

    broken = an_event("broken", account="new", output=-1)
    assert outcome(record(engine, an_event("call", account="new"), broken)) == (1, 0, 0, 1)
    assert counted(engine, EventRow, PendingRow) == [1, 1]
    for one in (engine, other):
        one.dispose()


class TestPostingAll:
    def test_shards_share_the_accounts_and_post_all(self, engine: Engine, database_url: str) -> None:
        names = [f"account-{number}" for number in range(30)]
        give(engine, "topped_up", "3.00", OPENING, account=names[0])
        record(engine, *(an_event(f"{name}-{n}", account=name) for name in names for n in range(2)))

        def post(shard: int) -> int:
            own = open_engine(database_url)
            try:
                return post_all(own, book=book(), now=at(NOW), shard=shard, shards=3)
            finally:
                own.dispose()

        with ThreadPoolExecutor(3) as pool:
            posted = list(pool.map(post, range(3)))
        assert sum(posted) == 60
        assert all(posted), "every shard has accounts"
        assert splits(engine, names[0]) == {f"{names[0]}-{n}": ("0.00", "1.10", "0.00", "0.00") for n in range(2)}
        assert counted(engine, PendingRow) == [0]
        assert verify(engine) == []

    def test_one_shard_leaves_the_others_alone(self, engine: Engine) -> None:
        record(engine, *(an_event("call", account=f"account-{number}") for number in range(20)))
        posted = post_all(engine, book=book(), now=at(NOW), shard=1, shards=2)
        with reading(engine) as connection:
            left = pending_accounts(connection)
        assert 0 < posted < 20
        assert len(left) == 20 - posted
        assert post_all(engine, book=book(), now=at(NOW), shard=1, shards=2) == 0
        assert post_all(engine, book=book(), now=at(NOW)) == len(left)

    def test_accounts_before_within_and_behind_a_full_batch_are_all_posted(self, engine: Engine) -> None:
        """2,000 calls are posted at once: the second account is cut in two, and the third is not reached at first."""
        sizes = {"Z": 1, "a": 2_100, "b": 3}  # Z is first or last, by how the database orders names
        for name, size in sizes.items():
            give(engine, "granted", "1.00", OPENING, account=name, expires_at="2025-03-04T00:00:00Z", now=OPENING)
            record(engine, *(an_event(f"{name}{number}", account=name, output=100) for number in range(size)))
        assert post_all(engine, book=book(), now=at(NOW)) == sum(sizes.values())
        assert verify(engine) == []
        assert counted(engine, PendingRow) == [0]

    @pytest.mark.parametrize(("shard", "shards"), [(-1, 2), (2, 2), (0, 0)])
    def test_a_shard_that_is_none_is_refused(self, engine: Engine, shard: int, shards: int) -> None:
        with pytest.raises(InputError, match=f"shard {shard}: number the {shards} posters from 0"):
            post_all(engine, book=book(), now=at(NOW), shard=shard, shards=shards)
