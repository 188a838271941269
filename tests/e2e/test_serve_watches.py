"""A scheduler that died tells nobody; a serve that lives does."""

from __future__ import annotations

from sqlalchemy import Engine

from costmeter.core.watch import SCHEDULER
from costmeter.store import alerts
from costmeter.store.engine import reading
from tests.api.serving import until
from tests.e2e.test_serve_killed import Serve
from tests.services.watching import run


def test_serve_tells_of_a_scheduler_that_is_silent(engine: Engine, database_url: str) -> None:
    run(engine, "2025-03-10T12:00:00Z")
    serve = Serve(database_url)
    serve.start()

    def told() -> list[alerts.Alert]:
        with reading(engine) as connection:
            return alerts.standing_of(connection, [alerts.NO_ACCOUNT], [SCHEDULER])

    (alert,) = until(told)
    assert serve.end() == 0
    assert alert.facts == {"last_job": "tick", "last_finished_at": "2025-03-10T12:00:00Z", "lease": None}
