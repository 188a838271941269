"""What a month teaches: the report of one month of one account, and its rows as CSV."""

from __future__ import annotations

import csv
from typing import TextIO

from sqlalchemy import Connection

from costmeter.core.lessons import MEASURES, Lessons
from costmeter.prices.read import read_edition
from costmeter.store.lessons import read_lessons, read_missed
from costmeter.store.scope import Scope


def month_lessons(connection: Connection, account: str, month: str, project: str | None = None) -> Lessons:
    """What a billing month of an account teaches, perhaps of one project only; see `read_lessons`."""
    where = [] if project is None else [f"project={project}"]
    return read_lessons(connection, Scope.checked(month=month, account=account, where=where), read_edition)


def month_missed(connection: Connection, account: str, month: str, project: str | None = None) -> int:
    """What the cheapest hours would have saved in that month, in units of 10^-12: the lessons' total."""
    where = [] if project is None else [f"project={project}"]
    return read_missed(connection, Scope.checked(month=month, account=account, where=where), read_edition)


def write_csv(lessons: Lessons, out: TextIO) -> None:
    """The rows by project and model as RFC 4180 CSV, amounts exact; what there is no share of is an empty cell."""
    names = ("project", "model", *MEASURES)
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows(lessons.as_dict()["rows"])
