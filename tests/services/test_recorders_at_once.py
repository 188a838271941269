"""Many recorders and posters on one database, whose deadlocks are found at once and whose connections are cut."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from costmeter.core.errors import InputError
from costmeter.services.capture import capture
from costmeter.services.post_all import post_all
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.events import pending_accounts
from costmeter.store.tables import ChargeRow, EventRow, IdentityRow, PendingRow
from tests.make import NOW, an_event, at, book, counted, give, record, rows, splits

OPENING = "2025-03-01T00:00:00Z"
CUT = ("57P01", None)  # admin_shutdown, or no answer at all
CALLS, ACCOUNTS, PART = 240, 6, 24


def the_calls(seed: int) -> list[list[dict[str, object]]]:
    """The same calls for every recorder, each in an order of its own, in parts."""
    bodies = [
        an_event(f"c{number}", account=f"a{number % ACCOUNTS}", output=number, response_id=f"r{number}")
        for number in range(CALLS)
    ]
    random.Random(seed).shuffle(bodies)
    return [bodies[start : start + PART] for start in range(0, CALLS, PART)]


def impatient(url: str) -> Engine:
    """An engine whose PostgreSQL looks for deadlocks after a moment."""
    engine = open_engine(url)
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "connect")
        def _on_connect(connection: object, _record: object) -> None:
            connection.execute("SET deadlock_timeout = '20ms'")  # type: ignore[attr-defined]  # psycopg's
            connection.commit()  # type: ignore[attr-defined]

    return engine


def until_done(url: str, seed: int) -> tuple[int, int]:
    """Capture all calls as the spool does: what raised is sent again. How many were accepted, and how often it raised.

    A commit whose answer was cut off is a duplicate when it comes again, so fewer may be accepted than there are.
    """
    engine = impatient(url)
    accepted = cut = 0
    for part in the_calls(seed):
        while True:
            try:
                accepted += capture(engine, part, book=book(), home=Home(), now=at(NOW)).accepted
                break
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in CUT:
                    raise
                cut += 1
    engine.dispose()
    return accepted, cut


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
    assert counted(engine, EventRow, ChargeRow, IdentityRow, PendingRow) == [CALLS, CALLS, 2 * CALLS, 0]
    assert {row["event_id"] for row in rows(engine, EventRow)} == {f"c{number}" for number in range(CALLS)}
    assert verify(engine) == []


def test_recorders_of_the_same_calls_record_and_post_each_once(engine: Engine, database_url: str) -> None:
    give(engine, "granted", "1.00", OPENING, account="a0")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(until_done, [database_url] * 4, range(4)))
    assert sum(accepted for accepted, _ in answers) == CALLS
    assert not any(cut for _, cut in answers)
    check_each_is_there_once(engine)


def test_recorders_whose_connections_are_cut_lose_nothing(postgres_url: str) -> None:
    with ThreadPoolExecutor(4) as pool, cutting_connections(postgres_url):
        answers = list(pool.map(until_done, [postgres_url] * 4, range(4)))
    assert sum(cut for _, cut in answers) > 0
    engine = open_engine(postgres_url)
    post_all(engine, book=book(), now=at(NOW))
    check_each_is_there_once(engine)
    engine.dispose()


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
