"""The scheduler of every job, and who tells what there is to tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from costmeter.core.errors import SetupError
from costmeter.wiring.given import price_book, settings, watch_thresholds

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from costmeter.alerts.channels_file import Channels
    from costmeter.jobs.job import Job
    from costmeter.jobs.jobs import Reconciling
    from costmeter.jobs.scheduler import Scheduler
    from costmeter.services.keep_told import Outbox


def open_scheduler(engine: Engine) -> Scheduler:
    """The scheduler of every job for a database."""
    from costmeter.jobs.scheduler import Scheduler

    return Scheduler(engine, jobs_of(engine))


def jobs_of(engine: Engine) -> list[Job]:
    """Every job for a database, as the settings have them."""
    from costmeter.jobs.exports import ExportFolder
    from costmeter.jobs.jobs import all_jobs

    def clock() -> datetime:
        return datetime.now(UTC)

    said = settings()
    folder = said.export_dir
    exports = ExportFolder.checked(folder, said.export_kinds, said.export_formats) if folder else None
    return all_jobs(
        engine,
        book=price_book(),
        thresholds=watch_thresholds(),
        nightly_at=said.nightly_at,
        clock=clock,
        reconciling=reconciling(),
        exports=exports,
        digests=[kind for kind, tellers in channels().digests.items() if tellers],
        outbox=outbox(engine),
    )


def channels() -> Channels:
    """Who tells notices: the channels of the settings' file, else the log."""
    from costmeter.alerts.channels_file import default_channels, read_channels
    from costmeter.reports.charts import bars_png

    path = settings().channels
    return default_channels() if path is None else read_channels(path, bars_png)


def outbox(engine: Engine) -> Outbox:
    """What there is to tell in a database, and who tells it."""
    from costmeter.services.keep_told import Outbox

    told = channels()
    return Outbox(engine, told.by_name, told.digests, settings().url)


def reconciling() -> Reconciling | None:
    """What the scheduler compares with DeepSeek's balance; None where no interval is set."""
    from costmeter.jobs.jobs import Reconciling

    said = settings()
    if said.reconcile_hours is None:
        return None
    return Reconciling(said.reconcile_account, vendor_balance(), timedelta(hours=said.reconcile_hours))


def vendor_balance(url: str | None = None) -> Callable[[], object]:
    """Asks DeepSeek (of the settings, or at a URL) for its balance, with the key of the settings."""
    from costmeter.client.deepseek import ask_balance

    said = settings()
    where, api_key = url or said.deepseek_url, said.deepseek_api_key
    if api_key is None:
        raise SetupError("DeepSeek's balance needs its key: set COSTMETER_DEEPSEEK_API_KEY, or ..._FILE to its file")
    return lambda: ask_balance(where, api_key)
