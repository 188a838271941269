"""Two schedulers on one database, killed, started again and with their clock put: each instant of a job once."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.jobs.job import DAY, Job
from tests.forked import Child
from tests.jobs.schedules import SECOND, a_job, left, runs, scheduler_process, wait_until
from tests.jobs.stepped import SteppedClock

HOUR = timedelta(hours=1)
ROUNDS = 12


@contextmanager
def two(url: str, *jobs: Job, clock: SteppedClock) -> Iterator[list[Child]]:
    """Two schedulers; whichever are there at the end finish what they do."""
    children = [scheduler_process(url, *jobs, clock=clock) for _ in range(2)]
    yield children
    for child in children:
        os.kill(child.pid, signal.SIGTERM)
    assert [child.end()[0] for child in children] == [0, 0]


def newest(engine: Engine, job: str = "tick") -> datetime:
    found: datetime = max(row["scheduled_for"] for row in runs(engine, job=job))
    return found


def wait_for_more(engine: Engine, since: datetime, until: datetime, what: str) -> None:
    """Waits for runs of instants between two."""
    wait_until(lambda: len([row for row in done(engine) if since <= row["scheduled_for"] <= until]) >= 2, what)


def done(engine: Engine, job: str = "tick") -> list[dict[str, Any]]:
    return runs(engine, job=job, outcome="done")


def has_runs(engine: Engine, count: int) -> bool:
    return len(runs(engine)) >= count


def owners(engine: Engine, outcome: str) -> set[str]:
    """The processes whose runs these are."""
    return {row["owner"].split(":")[1] for row in runs(engine, outcome=outcome)}


def test_a_clock_that_is_put_forwards_skips_and_goes_on(engine: Engine, database_url: str, tmp_path: Path) -> None:
    """Of what was slept through the newest instant is run and no other; a daily job is run at once where it is due."""
    clock = SteppedClock()
    jobs = (a_job(tmp_path / "tick"), a_job(tmp_path / "daily", "daily", every=DAY))
    with two(database_url, *jobs, clock=clock):
        wait_until(lambda: len(done(engine)) >= 2, "two runs")
        wait_until(lambda: done(engine, "daily"), "the daily run")
        before = clock.now()
        clock.put(DAY)
        wait_for_more(engine, before + DAY, clock.now() + DAY, "runs after it was put forwards")
        wait_until(lambda: len(done(engine, "daily")) == 2, "the next daily run")
    skipped = [row for row in runs(engine) if before + HOUR < row["scheduled_for"] < before + DAY - SECOND]
    assert [row["job"] for row in skipped] in ([], ["daily"]), "its midnight was slept through, and is the newest"
    _check_each_instant_once(engine, tmp_path, "tick", "daily")


def test_a_clock_that_is_put_back_runs_what_was_never_run_and_nothing_twice(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    clock = SteppedClock()
    jobs = (a_job(tmp_path / "tick"), a_job(tmp_path / "daily", "daily", every=DAY))
    with two(database_url, *jobs, clock=clock):
        wait_until(lambda: len(done(engine)) >= 2, "two runs")
        wait_until(lambda: done(engine, "daily"), "the daily run")
        first = min(row["scheduled_for"] for row in runs(engine, job="tick"))
        clock.put(-HOUR)
        wait_for_more(engine, first - HOUR, first - SECOND, "runs of instants before the first")
        clock.put(HOUR)  # to and fro over what was run already
        clock.put(timedelta(seconds=-3))
        wait_for_more(engine, clock.now() + 2 * SECOND, clock.now() + HOUR, "runs of instants that are new")
        clock.put(-DAY)
        wait_for_more(engine, first - DAY - HOUR, first - HOUR - SECOND, "runs of the day before")
        wait_until(lambda: len(done(engine, "daily")) == 2, "the daily run of the day before")
    _check_each_instant_once(engine, tmp_path, "tick", "daily")


def test_the_lease_of_a_clock_that_was_ahead_is_free_when_its_owner_is_gone(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    clock = SteppedClock()
    first = scheduler_process(database_url, a_job(tmp_path / "a"), clock=clock)
    wait_until(lambda: done(engine), "a run")
    first.kill()
    first.end()
    clock.put(-HOUR)
    before = clock.now()
    second = scheduler_process(database_url, a_job(tmp_path / "b"), clock=clock)
    wait_for_more(engine, before, before + HOUR / 2, "runs of the second")
    os.kill(second.pid, signal.SIGTERM)
    assert second.end()[0] == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_started_again_and_put_at_random_each_instant_is_run_once(
    engine: Engine, database_url: str, tmp_path: Path, seed: int
) -> None:
    chance, clock = random.Random(seed), SteppedClock()
    jobs = (a_job(tmp_path / "tick", seconds=0.05), a_job(tmp_path / "slow", "slow", every=3 * SECOND, seconds=0.5))
    children = [scheduler_process(database_url, *jobs, clock=clock) for _ in range(2)]
    for _ in range(ROUNDS):
        seen = len(runs(engine))
        what = chance.choice(["kill", "kill both", "forwards", "back"])
        if what in ("forwards", "back"):
            clock.put(timedelta(seconds=chance.uniform(2, 600)) * (1 if what == "forwards" else -1))
        for place in {"kill": [chance.randrange(2)], "kill both": [0, 1]}.get(what, []):
            children[place].kill()
            assert children[place].end()[0] == -signal.SIGKILL
            children[place] = scheduler_process(database_url, *jobs, clock=clock)
        if chance.random() < 0.7:  # otherwise the next disturbance comes on top of this one
            wait_until(partial(has_runs, engine, seen + 2), f"runs after: {what}")
    wait_until(lambda: done(engine, "slow"), "a slow run is done")
    living = {str(child.pid) for child in children}
    wait_until(lambda: owners(engine, "running") <= living, "what dead processes left running is given up")
    for child in children:
        os.kill(child.pid, signal.SIGTERM)
    assert [child.end()[0] for child in children] == [0, 0]

    assert runs(engine, outcome="running") == []
    for name in ("tick", "slow"):
        found, lines = runs(engine, job=name), left(tmp_path / name)
        begun, ended = lines.count("begun"), lines.count("done")
        attempts = sum(row["attempt"] for row in found)
        assert len([row for row in found if row["outcome"] == "done"]) <= ended <= begun <= attempts, (
            "each line is of one attempt, and each run that is done left its own"
        )
        assert attempts - begun <= ROUNDS * 2, "an attempt without a line was killed before it"
        assert {row["outcome"] for row in found} <= {"done", "lost"}


def _check_each_instant_once(engine: Engine, folder: Path, *names: str) -> None:
    """Nobody was killed: the rows of the runs and what the jobs left tell the same."""
    for name in names:
        found, lines = runs(engine, job=name), left(folder / name)
        assert {row["outcome"] for row in found} == {"done"}
        assert lines.count("begun") == lines.count("done") == sum(row["attempt"] for row in found)
