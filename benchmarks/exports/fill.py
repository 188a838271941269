"""The charges of a PostgreSQL database in an SQLite file: the same rows, so that the same bytes must come of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
from sqlalchemy.types import JSON

from costmeter.store.tables import AccountRow, ChargeRow, EventRow
from costmeter.store.types import ExactTotal, UtcInstant

PART = 5_000


def copy_charges(url: str, path: Path) -> None:
    """Copy accounts, events and charges into a file at the newest schema."""
    with psycopg.connect(url) as source, sqlite3.connect(path) as target:
        for table in (AccountRow, EventRow, ChargeRow):
            columns = table.__table__.columns
            texts = [_text(column.name, column.type) for column in columns]
            places = ", ".join("?" * len(columns))
            with source.cursor(name="rows") as cursor:
                cursor.itersize = PART
                cursor.execute(f"SELECT {', '.join(texts)} FROM {table.__tablename__}".encode())
                target.executemany(
                    f"INSERT INTO {table.__tablename__} ({', '.join(columns.keys())}) VALUES ({places})", cursor
                )
        target.commit()
        target.execute("ANALYZE")


def _text(name: str, kind: object) -> str:
    """What SQLite stores of a PostgreSQL column."""
    if isinstance(kind, UtcInstant):
        return f"(extract(epoch FROM {name}) * 1000000)::bigint"
    return f"{name}::text" if isinstance(kind, JSON | ExactTotal) else name
