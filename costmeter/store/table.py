"""What all tables have in common: which column type a Python type becomes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import DeclarativeBase

from costmeter.store.types import Json, Key, UtcInstant

Name = String(256)


def serves(query: str) -> dict[str, str]:
    """What an index says of itself: the query that it is there for, which `db status` shows."""
    return {"serves": query}


class Table(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012
        datetime: UtcInstant, bytes: Key, dict[str, Any]: Json, list[Any]: Json, str: Text, int: BigInteger,
    }  # fmt: skip
