"""A file is whole or not there, and its manifest says what it is."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from costmeter import __version__
from costmeter.exports.charges import CHARGES
from costmeter.exports.content import Content
from costmeter.exports.export import Column, Export, Kind
from costmeter.exports.file import manifest_path, write_export
from costmeter.exports.format import Format, parts
from costmeter.store.engine import open_engine, reading
from costmeter.store.scope import Scope
from costmeter.store.texts import ROWS
from tests.exports.books import MARCH, digest, keep
from tests.forked import Say, fork
from tests.make import an_event, at, book, record_and_post


def file_of(
    engine: Engine, path: Path, form: Format = Format.CSV, scope: Scope = MARCH, excel: str | None = None
) -> dict[str, Any]:
    with reading(engine) as connection:
        return write_export(connection, CHARGES, scope, path, form=form, excel=excel)


def test_a_manifest_says_what_the_file_is(engine: Engine, tmp_path: Path) -> None:
    keep(engine)
    path = tmp_path / "charges.csv"
    said = file_of(engine, path)
    assert json.loads(manifest_path(path).read_text(encoding="utf-8")) == said
    assert said == {
        "format_version": 1,
        "kind": "charges",
        "format": "csv",
        "excel": None,
        "rows": 18,
        "sums": {
            "cost_cache_hit": "0.00000021",
            "cost_cache_miss": "0.00000108",
            "cost_output": "1.6500891",
            "cost": "1.65009039",
            "granted": "1.50",
            "topped_up": "0.15008654",
            "overdraft": "0.00",
            "untracked": "0.00000385",
        },
        "month": "2025-03",
        "from": None,
        "to": None,
        "account": None,
        "where": {},
        "currency": "USD",
        "timezones": ["Asia/Kolkata", "UTC"],
        "editions": [book().edition],
        "content_sha256": digest(engine, CHARGES),
        "costmeter": __version__,
        "file": "charges.csv",
        "bytes": path.stat().st_size,
        "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def test_every_format_names_one_content(engine: Engine, tmp_path: Path) -> None:
    keep(engine)
    said = [file_of(engine, tmp_path / f"charges.{form}", form) for form in Format]
    said.append(file_of(engine, tmp_path / "excel.csv", excel="de"))
    assert {one["content_sha256"] for one in said} == {digest(engine, CHARGES)}
    assert len({one["file_sha256"] for one in said}) == len(said)
    assert len({json.dumps(one["sums"]) for one in said}) == 1


def test_the_same_rows_are_the_same_files(engine: Engine, tmp_path: Path) -> None:
    """No reading of the clock makes two exports differ, of whatever format."""
    keep(engine)
    for form in Format:
        path = tmp_path / f"charges.{form}"
        first = file_of(engine, path, form)
        time.sleep(1.1)  # what a clock of seconds would tell
        assert file_of(engine, path, form) == first


def test_a_manifest_says_the_scope(engine: Engine, tmp_path: Path) -> None:
    keep(engine)
    start, end = at("2025-03-04T00:00:00Z"), at("2025-03-04T12:00:03Z")
    scope = Scope.checked(start=start, end=end, account="default", currency="USD", where=["project=+1"])
    said = file_of(engine, tmp_path / "charges.csv", scope=scope)
    assert (said["rows"], said["sums"]["cost"], said["editions"]) == (1, "0.0000011", [book().edition])
    assert (said["from"], said["to"]) == ("2025-03-04T00:00:00Z", "2025-03-04T12:00:03Z")
    assert (said["month"], said["account"], said["where"]) == (None, "default", {"project": "+1"})
    nothing = file_of(engine, tmp_path / "charges.csv", scope=Scope.checked(month="2025-07"))
    assert (nothing["rows"], nothing["sums"]["cost"], nothing["editions"]) == (0, "0.00", [])


def killed_at(number: int) -> Callable[[int], None]:
    """An fsync that is the last thing a process does, the time of that number."""
    fsync, count = os.fsync, 0

    def sync(handle: int) -> None:
        nonlocal count
        fsync(handle)
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return sync


def _rows_that_kill(_connection: Connection, _scope: Scope) -> Iterator[tuple[Any, ...]]:
    yield from (("a",) for _ in range(10 * ROWS))
    os.kill(os.getpid(), signal.SIGKILL)


DEADLY = Export("deadly", (Column("text", Kind.TEXT),), _rows_that_kill, guarded=False)


@pytest.mark.parametrize("form", [*Format])
def test_a_kill_leaves_the_file_that_was_there(sqlite_url: str, tmp_path: Path, form: Format) -> None:
    """Killed among the rows, or with either on the disk and not renamed: no half file, and no wrong manifest."""
    engine = open_engine(sqlite_url)
    record_and_post(engine, an_event("before"))
    path, other = tmp_path / f"charges.{form}", tmp_path / f"new.{form}"
    file_of(engine, path, form)
    before = path.read_bytes(), manifest_path(path).read_bytes()
    record_and_post(engine, an_event("since"))
    engine.dispose()

    def work(export: Export, target: Path, syncs: int, _say: Say) -> None:
        os.fsync = killed_at(syncs)  # type: ignore[assignment]  # of this child
        with reading(open_engine(sqlite_url)) as connection:
            write_export(connection, export, MARCH, target, form=form)

    for export, syncs in ((DEADLY, 0), (CHARGES, 1), (CHARGES, 2)):
        for target in (path, other):
            code, _ = fork(partial(work, export, target, syncs)).end()
            assert code == -signal.SIGKILL
        assert (path.read_bytes(), manifest_path(path).read_bytes()) == before
        assert not other.exists()
        assert not manifest_path(other).exists()
    engine = open_engine(sqlite_url)
    assert file_of(engine, path, form)["rows"] == 2
    engine.dispose()


def test_a_reader_that_leaves_early_leaves_the_connection_as_it_was(engine: Engine) -> None:
    record_and_post(engine, *(an_event(f"call-{number}") for number in range(1_000)))
    with reading(engine) as connection:
        file = parts(Content(connection, CHARGES, MARCH), Format.CSV)
        assert next(file).startswith(b"event_id")
        assert next(file).startswith(b"call-0")
        file.close()
    assert digest(engine, CHARGES) == digest(engine, CHARGES)
