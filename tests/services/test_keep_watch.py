"""The lookout: it looks by itself, and a look that fails is followed by another."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from costmeter.core.watch import KINDS, Limits
from costmeter.services.keep_watch import Lookout
from costmeter.store import alerts
from costmeter.store.engine import reading
from tests.api.serving import until
from tests.make import at, book, top_up

NOW = at("2025-03-10T00:00:00Z")


def rules(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return [alert.rule for alert in alerts.standing_of(connection, None, KINDS)]


def test_it_looks_until_it_is_told_to_end(engine: Engine) -> None:
    lookout = Lookout(engine, book(), Limits(), lambda: NOW, every=0.01)
    lookout.start()
    assert rules(engine) == []
    top_up(engine, "0.50", "2025-03-01T00:00:00Z")
    assert until(lambda: rules(engine)) == ["low_balance"]
    assert lookout.stop(30)


def test_a_look_that_fails_is_logged_and_followed_by_another(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    top_up(engine, "0.50", "2025-03-01T00:00:00Z")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE alert RENAME TO elsewhere"))
    lookout = Lookout(engine, book(), Limits(), lambda: NOW, every=0.01)
    lookout.start()
    until(lambda: "the watch failed; it looks again" in caplog.text)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO alert"))
    assert until(lambda: rules(engine)) == ["low_balance"]
    assert lookout.stop(30)


def test_it_goes_by_the_machines_clock(engine: Engine) -> None:
    before = datetime.now(UTC)
    top_up(engine, "0.50", "2025-03-01T00:00:00Z")
    lookout = Lookout(engine, book(), Limits(calendar_days=0))
    lookout.start()
    until(lambda: rules(engine))
    assert lookout.stop(30)
    with reading(engine) as connection:
        (alert,) = alerts.standing_of(connection, ["default"], KINDS)
    assert before <= alert.raised_at <= datetime.now(UTC)
