"""The month by project and band: read from our rollups, and by DuckDB from the same calls in Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.turns.way import Way

Answer = list[tuple[str, str, int, int]]  # project, band, calls, cost in units of 10^-12


def costmeter(url: str) -> Way:
    from costmeter.core.money import parse_amount
    from costmeter.reports.spend import spend_report
    from costmeter.store.engine import open_engine, reading
    from costmeter.store.scope import Scope

    engine = open_engine(url)

    def run(_: Any) -> list[dict[str, Any]]:
        with reading(engine) as connection:
            rows: list[dict[str, Any]] = spend_report(
                connection, Scope(month="2025-03"), by=("project", "band")
            ).as_dict()["rows"]
            return rows

    def answer(rows: list[dict[str, Any]]) -> Answer:
        return sorted((row["project"], row["band"], row["calls"], parse_amount(row["cost"])) for row in rows)

    return Way("", lambda _number, _size: None, run, answer)


def duckdb(csv: str) -> Way:
    import duckdb as engine  # in the rival's venv

    parquet = str(Path(csv).with_suffix(".parquet"))
    connection = engine.connect()
    connection.execute(f"COPY (FROM read_csv('{csv}')) TO '{parquet}' (FORMAT parquet)")
    query = f"SELECT project, band, count(*), sum(cost) FROM '{parquet}' GROUP BY project, band ORDER BY project, band"

    def run(_: Any) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = connection.execute(query).fetchall()
        return found

    return Way(engine.__version__, lambda _number, _size: None, run, lambda rows: sorted(_whole(rows)))


def _whole(rows: list[tuple[Any, ...]]) -> Answer:
    return [(project, band, int(calls), int(cost)) for project, band, calls, cost in rows]


WAYS = {"costmeter": costmeter, "duckdb": duckdb}
