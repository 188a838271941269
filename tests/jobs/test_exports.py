"""Last month's files: written once, again only where their content changed, and for each currency."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest
from sqlalchemy import Engine

from costmeter import wiring
from costmeter.core.errors import InputError
from costmeter.core.watch import Limits
from costmeter.exports.file import manifest_path
from costmeter.jobs.exports import ExportFolder
from costmeter.jobs.jobs import all_jobs
from tests.make import an_event, at, book, record_and_post, set_up_account

APRIL = "2025-04-01T03:17:00Z"


def run(engine: Engine, to: ExportFolder, now: str = APRIL) -> str:
    """What the job says when it is done."""
    jobs = all_jobs(engine, book=book(), limits=Limits(), nightly_at=time(2, 17), clock=lambda: at(now), exports=to)
    (job,) = [job for job in jobs if job.name == "exports"]
    return job.work().said


def folder(path: Path, kinds: str = "charges, usage", formats: str = "csv,parquet") -> ExportFolder:
    return ExportFolder.checked(path, kinds, formats)


def test_files_are_written_once_and_again_where_calls_came(engine: Engine, tmp_path: Path) -> None:
    record_and_post(engine, an_event("a"), an_event("april", "2025-03-31T23:59:59Z"), now=APRIL)
    to = folder(tmp_path / "new" / "exports")
    assert run(engine, to) == "wrote 4 files of 2025-03"
    paths = [to.folder / f"{kind}-2025-03-USD.{form}" for kind in ("charges", "usage") for form in ("csv", "parquet")]
    assert sorted(to.folder.iterdir()) == sorted([*paths, *map(manifest_path, paths)])
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in paths}
    assert run(engine, to) == "every file of 2025-03 was there already"
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in paths} == before

    record_and_post(engine, an_event("late", "2025-03-30T00:00:00Z"), now=APRIL)
    assert run(engine, to) == "wrote 4 files of 2025-03"
    assert b"late," in paths[0].read_bytes()
    assert run(engine, to, "2025-05-31T00:00:00Z") == "wrote 4 files of 2025-04"


def test_a_file_that_is_not_whole_is_written_again(engine: Engine, tmp_path: Path) -> None:
    record_and_post(engine, an_event("a"))
    to = folder(tmp_path, "charges", "csv")
    run(engine, to)
    path = tmp_path / "charges-2025-03-USD.csv"
    whole = path.read_bytes()
    for spoil in (path.unlink, lambda: path.write_bytes(whole[:-1]), manifest_path(path).unlink):
        spoil()
        assert run(engine, to) == "wrote 1 files of 2025-03"
        assert path.read_bytes() == whole
    manifest_path(path).write_text("{", encoding="utf-8")
    assert run(engine, to) == "wrote 1 files of 2025-03"


def test_two_currencies_are_two_files(engine: Engine, tmp_path: Path) -> None:
    set_up_account(engine, "asia", "CNY")
    record_and_post(engine, an_event("a"), an_event("b", account="asia"))
    assert run(engine, folder(tmp_path, "usage", "jsonl")) == "wrote 2 files of 2025-03"
    assert b'"CNY"' in (tmp_path / "usage-2025-03-CNY.jsonl").read_bytes()
    assert b'"USD"' in (tmp_path / "usage-2025-03-USD.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("KINDS", "charges,invoices", "COSTMETER_EXPORT_KINDS 'invoices': use any of charges, usage"),
        ("FORMATS", "pdf", "COSTMETER_EXPORT_FORMATS 'pdf': use any of csv, jsonl, xlsx, parquet"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv("COSTMETER_EXPORT_DIR", str(tmp_path))
    monkeypatch.setenv(f"COSTMETER_EXPORT_{name}", value)
    with pytest.raises(InputError, match=says):
        wiring.open_scheduler(engine)


def test_without_a_folder_there_is_no_such_job(engine: Engine) -> None:
    jobs = all_jobs(engine, book=book(), limits=Limits(), nightly_at=time(2, 17), clock=lambda: at(APRIL))
    assert "exports" not in {job.name for job in jobs}
