"""The calls that completed last before an instant, found without reading those after it."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import Engine

from costmeter.reports.calls import calls_until, list_calls
from costmeter.store.engine import reading
from tests.make import an_event, an_unmetered, at, grant, record, record_and_post

INSTANTS = [f"2025-03-0{day}T{hour}:00:00Z" for day in (2, 3) for hour in ("00", "12", "23")]
ENDS = [*INSTANTS, "2025-03-01T00:00:00Z", "2025-03-03T12:00:00.000001Z", "2025-04-01T00:00:00Z"]


@pytest.fixture
def called(engine: Engine) -> Engine:
    """Charged ones, one of them folded again, unmetered and failed ones, some at one instant, and one that waits."""
    bodies = [an_event(f"c{n}", moment, project=f"p{n % 2}", output=100) for n, moment in enumerate(INSTANTS)]
    bodies += [an_event(f"d{n}", INSTANTS[2], project="p0", output=100) for n in range(4)]
    bodies += [an_unmetered(f"u{n}", moment, project="p1") for n, moment in enumerate(INSTANTS[1:4])]
    bodies += [{**an_unmetered("f", INSTANTS[4], project="p0"), "status": "failed", "http_status": 500}]
    record_and_post(engine, *bodies[::-1])  # what completed first came last
    grant(engine, "1.00", "2025-03-02T00:00:00Z")
    record(engine, an_event("waits", INSTANTS[3], project="p0", output=100))
    return engine


def until(engine: Engine, end: datetime, project: str | None, limit: int) -> list[str | None]:
    with reading(engine) as connection:
        return [one.event.event_id for one in calls_until(connection, "default", end, project=project, limit=limit)]


@pytest.mark.parametrize("project", [None, "p0", "p1", "nobody"])
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_they_are_those_of_all_calls(called: Engine, project: str | None, limit: int) -> None:
    with reading(called) as connection:
        everything = list_calls(connection, "default", project=project, limit=100)
    newest = sorted(everything, key=lambda one: (one.event.completed_at, one.event_key), reverse=True)
    for end in map(at, ENDS):
        before = [one.event.event_id for one in newest if one.event.completed_at < end]
        assert until(called, end, project, limit) == before[:limit]
    assert len(newest) == {None: 15, "p0": 9, "p1": 6, "nobody": 0}[project]


def test_each_with_its_charge_in_force(called: Engine) -> None:
    with reading(called) as connection:
        found = calls_until(connection, "default", at("2025-03-04T00:00:00Z"), limit=100)
    charges = {one.event.event_id: one.charge for one in found}
    assert charges["c0"] is not None
    assert charges["c0"]["revision"] > 1
    assert charges["waits"] is charges["u0"] is charges["f"] is None
