"""The lease: held by one at a time, and what it allows is done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from costmeter.services.run_job import KEPT, Done, run_job
from costmeter.services.take_lease import give_lease_back, take_lease
from costmeter.store import leases
from costmeter.store.engine import reading
from costmeter.store.runs import MOST_ATTEMPTS, Run
from costmeter.store.tables import LeaseRow
from tests.jobs.schedules import runs
from tests.make import at

NOON = at("2026-11-24T12:00:00Z")
SECOND = timedelta(seconds=1)
LEASE = 10 * SECOND
OWNERS = ("a", "b", "c")


def take(engine: Engine, owner: str, now: datetime = NOON) -> bool:
    return take_lease(engine, owner, now=now, until=now + LEASE).is_held


def run(engine: Engine, owner: str, scheduled_for: datetime = NOON, now: datetime = NOON) -> Run | None:
    return run_job(engine, "job", scheduled_for, lambda: Done("did it"), owner=owner, clock=lambda: now)


def held_by(engine: Engine, now: datetime) -> str | None:
    with reading(engine) as connection:
        lease = leases.get(connection, now)
    return lease.owner if lease else None


def test_who_has_it_keeps_it_until_it_expires(engine: Engine) -> None:
    assert held_by(engine, NOON) is None
    assert take(engine, "a")
    assert not take(engine, "b", NOON + LEASE - SECOND)
    assert take(engine, "a", NOON + LEASE - SECOND), "renewed"
    assert not take(engine, "b", NOON + LEASE)
    assert take(engine, "b", NOON + 2 * LEASE - SECOND), "expired"
    assert not take(engine, "a", NOON + 2 * LEASE)


def test_what_is_given_back_is_free_at_once_and_only_its_owner_gives_it(engine: Engine) -> None:
    take(engine, "a")
    give_lease_back(engine, "b", now=NOON)
    assert held_by(engine, NOON) == "a"
    give_lease_back(engine, "a", now=NOON)
    assert held_by(engine, NOON) is None
    assert take(engine, "b")


@given(st.lists(st.tuples(st.sampled_from(OWNERS), st.sampled_from(["take", "give"]), st.integers(0, 8)), max_size=25))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_as_a_plain_rule_says(engine: Engine, steps: list[tuple[str, str, int]]) -> None:
    """Whatever is done when, at most one holds it, and that is the one of the rule."""
    with engine.begin() as connection:
        connection.execute(delete(LeaseRow))
    now, owner, until = NOON, None, NOON
    for who, what, seconds in steps:
        now += seconds * SECOND
        if what == "give":
            give_lease_back(engine, who, now=now)
            owner = None if owner == who else owner
        else:
            may = owner in (None, who) or until <= now
            assert take(engine, who, now) == may
            owner, until = (who, now + LEASE) if may else (owner, until)
        assert held_by(engine, now) == (owner if until > now else None)


def test_of_many_that_reach_for_it_at_once_one_has_it(engine: Engine) -> None:
    many, rounds = 8, 12
    ready = Barrier(many)

    def reach(number: int) -> list[bool]:
        taken = []
        for turn in range(rounds):
            ready.wait()
            taken.append(take(engine, f"owner-{number}", NOON + turn * LEASE))
        return taken

    with ThreadPoolExecutor(many) as pool:
        taken = [*pool.map(reach, range(many))]
    assert [sum(turn) for turn in zip(*taken, strict=True)] == [1] * rounds


def test_only_its_owner_runs_jobs_and_each_instant_once(engine: Engine) -> None:
    assert run(engine, "a") is None, "nobody has the lease"
    take(engine, "a")
    assert run(engine, "b") is None
    done = run(engine, "a")
    assert done is not None
    assert (done.outcome, done.said, done.attempt) == ("done", "did it", 1)
    assert run(engine, "a") is None, "that instant was run"
    assert run(engine, "a", NOON + SECOND) is not None
    assert run(engine, "a", NOON + 2 * SECOND, now=NOON + LEASE) is None, "the lease has expired"


def test_of_many_that_run_an_instant_at_once_one_does(engine: Engine) -> None:
    take(engine, "a")
    ready = Barrier(8)

    def reach(_: int) -> Run | None:
        ready.wait()
        return run(engine, "a")

    with ThreadPoolExecutor(8) as pool:
        done = [found for found in pool.map(reach, range(8)) if found is not None]
    assert len(done) == 1


def test_an_error_is_the_outcome_without_its_secrets(engine: Engine) -> None:
    take(engine, "a")

    def fail() -> Done:
        raise ValueError("refused\nby sk-0123456789abcdef")

    failed = run_job(engine, "job", NOON, fail, owner="a", clock=lambda: NOON)
    assert failed is not None
    (row,) = runs(engine)
    assert (row["outcome"], row["error"]) == (failed.outcome, failed.error)
    assert (row["outcome"], row["finished_at"]) == ("failed", NOON)
    assert row["error"].startswith("ValueError: refused by fp_")
    assert "0123456789" not in row["error"]


def test_warnings_are_kept_and_too_many_are_counted(engine: Engine) -> None:
    take(engine, "a")
    found = Done("looked", [f"finding {number}" for number in range(30)])
    run_job(engine, "job", NOON, lambda: found, owner="a", clock=lambda: NOON)
    (row,) = runs(engine)
    lines = row["error"].splitlines()
    assert (row["outcome"], row["said"]) == ("warned", "looked")
    assert lines == [*(f"finding {number}" for number in range(20)), "and 10 more"]


def test_a_run_of_a_lost_lease_is_lost_and_its_late_end_changes_nothing(engine: Engine) -> None:
    """The owner slept through its lease; the next one gave the run up and did it again."""
    take(engine, "a")
    later = NOON + LEASE

    def sleep_through() -> Done:
        taken = take_lease(engine, "b", now=later, until=later + LEASE)
        assert [(lost.job, lost.owner, lost.outcome) for lost in taken.lost] == [("job", "a", "lost")]
        again = run(engine, "b", now=later)
        assert again is not None
        assert again.attempt == 2
        return Done("woke up")

    slept = run_job(engine, "job", NOON, sleep_through, owner="a", clock=lambda: NOON)
    assert slept is not None
    assert slept.outcome == "lost"
    (row,) = runs(engine)
    assert (row["owner"], row["attempt"], row["outcome"], row["said"]) == ("b", 2, "done", "did it")


def test_a_run_that_ends_its_process_each_time_is_left_alone_until_the_next_instant(engine: Engine) -> None:
    began = []

    def die() -> Done:
        began.append(1)
        raise KeyboardInterrupt  # nothing of the run is kept after this, as where the process is killed

    for turn in range(MOST_ATTEMPTS + 2):
        now = NOON + turn * LEASE
        take(engine, f"owner-{turn}", now)
        try:
            run_job(engine, "job", NOON, die, owner=f"owner-{turn}", clock=lambda at=now: at)  # type: ignore[misc]
        except KeyboardInterrupt:
            continue
    assert len(began) == MOST_ATTEMPTS
    (row,) = runs(engine)
    assert (row["outcome"], row["attempt"]) == ("lost", MOST_ATTEMPTS)


def test_old_runs_of_the_job_are_forgotten(engine: Engine) -> None:
    take(engine, "a")
    run(engine, "a")
    later = NOON + KEPT + SECOND
    take(engine, "a", later)
    run(engine, "a", later, now=later)
    assert [row["scheduled_for"] for row in runs(engine)] == [later]
