"""Schedulers as processes on one database: each job once, whoever is killed, and nothing cut off by SIGTERM."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sqlalchemy import Engine, text

from costmeter.jobs.job import DAY, Job
from costmeter.services.run_job import Done
from costmeter.store.engine import open_engine
from costmeter.store.tables import LeaseRow
from tests.jobs.schedules import a_job, leave, left, runs, scheduler_process, wait_until
from tests.make import rows


def test_two_schedulers_run_each_instant_once(engine: Engine, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    two = [scheduler_process(database_url, a_job(file)) for _ in range(2)]
    wait_until(lambda: len(runs(engine, outcome="done")) >= 4, "four runs")
    for child in two:
        os.kill(child.pid, signal.SIGTERM)
    assert [child.end() for child in two] == [(0, []), (0, [])]

    found = runs(engine)
    assert {row["outcome"] for row in found} == {"done"}
    assert {row["attempt"] for row in found} == {1}
    assert left(file).count("begun") == left(file).count("done") == len(found)
    assert [row["said"] for row in found] == ["left a line"] * len(found)
    assert all(row["scheduled_for"] <= row["started_at"] <= row["finished_at"] for row in found)
    (lease,) = rows(engine, LeaseRow)
    assert lease["owner"] is None, "given back"


def test_the_other_takes_over_when_the_one_with_the_lease_is_killed(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    first = scheduler_process(database_url, a_job(tmp_path / "a"))
    wait_until(lambda: runs(engine, outcome="done"), "a run of the first")
    second = scheduler_process(database_url, a_job(tmp_path / "b"))
    first.kill()
    assert first.end()[0] == -signal.SIGKILL
    wait_until(lambda: "done" in left(tmp_path / "b"), "a run of the second")
    os.kill(second.pid, signal.SIGTERM)
    assert second.end()[0] == 0
    assert len({row["owner"] for row in runs(engine)}) == 2


def test_a_run_that_died_with_its_process_is_lost_and_done_again(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    """A daily job: its next instant is far away, so what is done again is the very same run."""
    first = scheduler_process(database_url, a_job(tmp_path / "a", every=DAY, seconds=600))
    wait_until(lambda: left(tmp_path / "a"), "the first began")
    second = scheduler_process(database_url, a_job(tmp_path / "b", every=DAY))
    (begun,) = runs(engine, outcome="running")
    first.kill()
    first.end()
    wait_until(lambda: runs(engine, outcome="done"), "the run was done again")
    os.kill(second.pid, signal.SIGTERM)
    second.end()

    (run,) = runs(engine)
    assert (run["scheduled_for"], run["attempt"]) == (begun["scheduled_for"], 2)
    assert run["owner"] != begun["owner"]
    assert left(tmp_path / "b") == ["begun", "done"]


def test_sigterm_lets_the_running_job_finish_and_gives_the_lease_back(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    """The job takes longer than the lease, which is renewed to its end: the other one does not get it before."""
    child = scheduler_process(database_url, a_job(tmp_path / "a", every=DAY, seconds=4))
    wait_until(lambda: left(tmp_path / "a"), "the job began")
    other = scheduler_process(database_url, a_job(tmp_path / "b", "another", every=DAY))
    os.kill(child.pid, signal.SIGTERM)
    assert child.end()[0] == 0
    assert left(tmp_path / "a") == ["begun", "done"]
    wait_until(lambda: runs(engine, job="another", outcome="done"), "the other one goes on")
    os.kill(other.pid, signal.SIGTERM)
    assert other.end()[0] == 0
    (first,), (second,) = runs(engine, job="tick"), runs(engine, job="another")
    assert (first["outcome"], first["attempt"]) == ("done", 1)
    assert first["finished_at"] <= second["started_at"]
    (lease,) = rows(engine, LeaseRow)
    assert lease["owner"] is None


def test_a_run_whose_end_could_not_be_written_is_lost_and_done_again(postgres_url: str, tmp_path: Path) -> None:
    """The database cuts every connection as the job ends, as where it is started again."""
    engine = open_engine(postgres_url)
    file = tmp_path / "lines"

    def work() -> Done:
        is_first = not left(file)
        leave(file, "done")
        if is_first:
            own = open_engine(postgres_url)
            with own.begin() as connection:
                connection.execute(text(f"{cut} AND pid <> pg_backend_pid()"))
            own.dispose()
        return Done("left a line")

    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    child = scheduler_process(postgres_url, Job("tick", "leave a line", work, DAY))
    wait_until(lambda: len(left(file)) == 2, "the job was done again")
    engine.dispose()  # its connections were cut too
    wait_until(lambda: runs(engine, outcome="done"), "the run is done")
    os.kill(child.pid, signal.SIGTERM)
    assert child.end()[0] == 0
    (run,) = runs(engine)
    assert run["attempt"] == len(left(file)) == 2
    engine.dispose()
