"""A spend report as tests ask for it: of one month, by model."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from costmeter.reports.spend import SpendReport, spend_report
from costmeter.store.engine import reading
from costmeter.store.scope import Scope

MARCH = Scope(month="2025-03")


def spend(
    engine: Engine, scope: Scope = MARCH, by: Sequence[str] = ("model",), timezone: str | None = None
) -> SpendReport:
    """The report of a scope."""
    with reading(engine) as connection:
        return spend_report(connection, scope, by=by, timezone=timezone)
