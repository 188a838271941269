"""The tables of the scheduler, which all accounts share; they stand with the others in `tables`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Name, Table


class LeaseRow(Table):
    """Who may run jobs, and until when unless it is renewed: one row, whatever number of schedulers there is."""

    __tablename__ = "scheduler_lease"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str | None] = mapped_column(Name)  # none: given back
    expires_at: Mapped[datetime]


class RunRow(Table):
    """A job at one instant of its schedule, which is run once: the primary key says so."""

    __tablename__ = "scheduler_run"

    job: Mapped[str] = mapped_column(String(64), primary_key=True)
    scheduled_for: Mapped[datetime] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)  # more than 1 where those who ran it before died
    owner: Mapped[str] = mapped_column(Name)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(16))  # running, done, warned, failed or lost
    said: Mapped[str | None]  # what it did
    error: Mapped[str | None]  # what is wrong
