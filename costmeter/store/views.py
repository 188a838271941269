"""The reporting views, which programs such as Grafana read by SQL; the migrations make them (docs/reporting.md)."""

from __future__ import annotations

from sqlalchemy import Engine, inspect

from costmeter.core.errors import SetupError
from costmeter.store.engine import reading

VIEWS = ("report_spend_day", "report_spend_quarter", "report_balance", "report_budget", "report_uncounted")


def check(engine: Engine) -> None:
    """Raises SetupError where a reporting view is gone: nothing of costmeter reads them, and so nothing else tells."""
    with reading(engine) as connection:
        gone = {*VIEWS} - {*inspect(connection).get_view_names()}
    if gone:
        raise SetupError(f"the view {min(gone)} is gone; take it from a backup, of which the schema alone is enough")
