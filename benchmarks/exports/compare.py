"""A month of charges as CSV, from PostgreSQL and from SQLite, in turn with others; every file has the same digest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks import databases, row
from benchmarks.exports.fill import copy_charges
from benchmarks.exports.ways import AT, QUERY, SELECTED
from benchmarks.growth.fill import fill
from benchmarks.posting import give_credits
from benchmarks.turns.take import OURS, Contender, Taken, in_own_venv, rows, take_turns

CALLS, ROUNDS = 1_000_000, 2
WAYS = "benchmarks.exports.ways"


def lines(calls: int = CALLS) -> Iterator[str]:
    with databases.postgresql_server() as server, databases.sqlite_file() as file, _folder() as folder:
        url, sqlite = databases.new_database(server), f"sqlite:///{file}"
        give_credits(url, 1)
        fill(url, calls)
        copy_charges(url, file)
        stored = folder / "stored.csv"
        _write_stored(url, stored)
        polars, missing = in_own_venv("polars", WAYS)
        contenders = [Contender(name, WAYS, arguments=(url,)) for name in (OURS, "psql", "csv.writer", "pandas")]
        contenders += [one._replace(arguments=(str(stored),)) for one in polars]
        yield from row.lines(rows("a charge from PostgreSQL, against", _taken(contenders, calls), calls))
        yield from missing
        contenders = [Contender(name, WAYS, arguments=(sqlite,)) for name in (OURS, "csv.writer")]
        yield from row.lines(rows("a charge from SQLite, against", _taken(contenders, calls), calls))
        for name, database in (("PostgreSQL", url), ("SQLite", sqlite)):
            yield _memory(name, database, calls)


def _taken(contenders: list[Contender], calls: int) -> list[Taken]:
    return take_turns(contenders, rounds=ROUNDS, size=calls)


def _memory(name: str, url: str, calls: int) -> str:
    (taken,) = take_turns([Contender("costmeter in parts", WAYS, arguments=(url,))], rounds=1, size=calls)
    began, (part, whole) = taken.answers[0], taken.peaks
    above = f"{part - began:.0f} MB above its start after {calls // 5:,} charges, {whole - began:.0f} after {calls:,}"
    return f"peak memory of an export from {name}: {above}"


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="costmeter-bench-") as folder:
        yield Path(folder)


def _write_stored(url: str, path: Path) -> None:
    """The rows in the order of the export, with values as they are stored."""
    at = SELECTED[AT]
    query = QUERY.format(' COLLATE "C"').replace(f"{at},", f"(extract(epoch FROM {at}) * 1000000)::bigint,", 1)
    copied = f"COPY ({query}) TO STDOUT (FORMAT csv)".encode()
    with psycopg.connect(url) as connection, connection.cursor().copy(copied) as copy, path.open("wb") as out:
        for block in copy:
            out.write(block)
