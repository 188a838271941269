"""Whether there is a row, asked so that an index answers whatever the plan knows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select


def first_of(column: Any, *where: ColumnElement[bool]) -> Select[Any]:
    """The least value of a column among the rows that meet all of these.

    PostgreSQL plans a statement that it has seen a few times without its values. Of EXISTS with "later than" it then
    believes that a third of the rows meet it, and looks for one by reading them all; in the column's order it takes the
    index.
    """
    return select(column).where(*where).order_by(column).limit(1)


def is_any(connection: Connection, *firsts: Select[Any]) -> bool:
    """Whether any of these has a row."""
    row = connection.execute(select(*(first.scalar_subquery() for first in firsts))).one()
    return any(value is not None for value in row)
