"""The only builder: engines, price books and what the recorder delivers to, from the settings.

The database layer is imported where it is needed: a program that wraps its client should not wait for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costmeter.core.errors import SetupError
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import load_book

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sqlalchemy import Engine

    from costmeter.alerts.channels_file import Channels
    from costmeter.api.service import Service
    from costmeter.client.client import Client
    from costmeter.core.watch import Thresholds
    from costmeter.gateway.admission import Admission
    from costmeter.gateway.app import Gateway
    from costmeter.gateway.callers import Callers
    from costmeter.gateway.mounted import Mounted
    from costmeter.jobs.jobs import Reconciling
    from costmeter.jobs.scheduler import Scheduler
    from costmeter.recorder.delivery import Deliver
    from costmeter.recorder.spool import Spool
    from costmeter.services.keep_told import Outbox
    from costmeter.settings import Settings
    from costmeter.store.accounts import Home


def settings() -> Settings:
    """What the environment says now."""
    from costmeter.settings import read_settings

    return read_settings()


@cache
def price_book() -> PriceBook:
    """The built-in price book with what COSTMETER_PRICE_BOOK adds."""
    return load_book(settings().price_book)


def close_grace() -> timedelta:
    """How long after its end a month waits for late calls."""
    return timedelta(hours=settings().close_grace_hours)


def watch_thresholds() -> Thresholds:
    """The thresholds of what is watched by the clock."""
    from costmeter.core.watch import Thresholds, parse_days, parse_low_balances
    from costmeter.settings import PREFIX

    said = settings()
    named = {name: getattr(said, f"watch_{name}") for name in Thresholds._fields}
    named["low_balance"] = parse_low_balances(said.watch_low_balance, f"{PREFIX}WATCH_LOW_BALANCE")
    named["grant_days"] = parse_days(said.watch_grant_days, f"{PREFIX}WATCH_GRANT_DAYS")
    return Thresholds(**named)


def home() -> Home:
    """What accounts get that are made at their first mention."""
    from costmeter.store.accounts import Home

    said = settings()
    return Home(said.currency, said.zone_name)


def open_database(url: str | None = None, *, patience: float | None = None) -> Engine:
    """The database (of the settings) at the newest schema: a missing SQLite file is made, any other must be there.

    With `patience` one that does not answer in so many seconds is an error.
    """
    from costmeter.store import schema

    engine = open_bare_database(url, patience=patience)
    try:
        if engine.dialect.name == "sqlite" and schema.is_empty(engine):
            schema.upgrade(engine)
        schema.check(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_bare_database(url: str | None = None, *, patience: float | None = None) -> Engine:
    """The database of the settings, whatever its schema."""
    from costmeter.store.engine import open_engine

    engine = open_engine(url or settings().database_url, patience=patience)
    if engine.dialect.name == "sqlite" and engine.url.database:
        _make_folder(Path(engine.url.database).parent)
    return engine


class DatabaseDelivery:
    """What the spool delivers to: records calls in the database of the settings and posts them."""

    def __init__(self) -> None:
        self._engine, self._book, self._home = open_database(), price_book(), home()

    def __call__(self, records: list[dict[str, Any]]) -> None:
        from costmeter.services.capture import capture

        capture(self._engine, records, book=self._book, home=self._home)

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()


class ServerDelivery:
    """What the spool delivers to where a server is set: it has accepted what a delivery returns from."""

    def __init__(self) -> None:
        self._client = server_client()

    def __call__(self, records: list[dict[str, Any]]) -> None:
        self._client.record(records)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


def server_client(tries: int = 1) -> Client:
    """A client of the server of the settings; the spool has its own pauses, so that one try is enough for it."""
    from costmeter.client.client import Client

    said = settings()
    if said.server_url is None or said.api_key is None:
        raise SetupError("COSTMETER_SERVER_URL needs COSTMETER_API_KEY, a key with the role ingest")
    return Client(said.server_url, api_key=said.api_key, tries=tries)


def delivery() -> DatabaseDelivery | ServerDelivery:
    """What records are delivered to: the server of the settings, else their database."""
    return DatabaseDelivery() if settings().server_url is None else ServerDelivery()


def open_scheduler(engine: Engine) -> Scheduler:
    """The scheduler of every job for a database."""
    from costmeter.jobs.exports import ExportFolder
    from costmeter.jobs.jobs import all_jobs
    from costmeter.jobs.scheduler import Scheduler

    def clock() -> datetime:
        return datetime.now(UTC)

    said = settings()
    folder = said.export_dir
    exports = ExportFolder.checked(folder, said.export_kinds, said.export_formats) if folder else None
    jobs = all_jobs(
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
    return Scheduler(engine, jobs)


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


def open_spool(deliver: Deliver | None = None) -> Spool:
    """A spool that delivers to what the settings say, which is opened at the first delivery, unless told otherwise."""

    from costmeter.recorder.delivery import OpenInEachProcess
    from costmeter.recorder.spool import Spool

    said, deliver = settings(), deliver or OpenInEachProcess(delivery)
    return Spool(deliver, folder=spool_folder(), limit=said.spool_limit, sync=said.spool_sync)


def open_gateway(upstream: str | None = None) -> Gateway:
    """The gateway of one process, to DeepSeek as the settings say, or to another base URL."""
    from costmeter.gateway.app import Gateway, Manners
    from costmeter.gateway.costs import Costs
    from costmeter.gateway.exchange import Way
    from costmeter.gateway.upstream import Upstream
    from costmeter.recorder.apart import DeliverApart
    from costmeter.settings import metrics_folder

    said = settings()
    vendor = Upstream(
        upstream or said.gateway_upstream, stall_seconds=said.gateway_stall_seconds, proxy=said.gateway_proxy
    )
    way = Way(vendor, drain=said.gateway_drain, retries=said.gateway_retries)
    manners = Manners(said.gateway_body_limit, said.gateway_include_usage)
    costs = Costs(price_book(), currency_of_account) if said.server_url is None else None
    return Gateway(
        way,
        open_spool(DeliverApart()),
        callers(),
        manners=manners,
        costs=costs,
        admission=admission(),
        metrics_folder=metrics_folder(),
    )


def admission() -> Admission | None:
    """What stops calls, as the settings say; None where nothing does."""
    from costmeter.gateway.admission import open_admission

    return open_admission(settings(), lambda patience: open_database(patience=patience), price_book)


def callers() -> Callers:
    """Who may call through the gateway of the settings."""
    from costmeter.gateway.callers import open_callers

    return open_callers(settings(), lambda: open_database(patience=5.0))


def currency_of_account(name: str) -> str:
    """The currency of an account; one that is not there yet will have that of the settings."""
    from costmeter.store import accounts
    from costmeter.store.engine import reading

    engine = open_database()
    try:
        with reading(engine) as connection:
            found = accounts.listed(connection, [name])
        return found[0].currency if found else home().currency
    finally:
        engine.dispose()


def gateway_app() -> Gateway:
    """The gateway of one of several processes that share a port."""
    from costmeter import logs

    logs.configure(settings().log_level)
    return open_gateway()


def open_service(url: str | None = None, *, local: bool = False) -> Service:
    """What one process of the service works with; without a URL its database is that of the settings."""
    from costmeter.api.otlp.spans import DEEPSEEK_HOSTS
    from costmeter.api.service import Service
    from costmeter.services.keep_posted import Poster
    from costmeter.services.keep_told import Teller
    from costmeter.services.keep_watch import Lookout
    from costmeter.services.record_in_turn import Recorder

    thresholds = watch_thresholds()
    engine, book, hosts = open_database(url), price_book(), DEEPSEEK_HOSTS | settings().other_hosts
    recorder, poster = Recorder(engine, book, home()), Poster(engine, book)
    lookout, teller = Lookout(engine, book, thresholds), Teller(outbox(engine))
    return Service(engine, book, home(), recorder, poster, local, close_grace(), hosts, lookout, teller)


def app_of(service: Service, *, metrics_folder: str | None = None) -> FastAPI | Mounted:
    """The application of a service: API and pages, and the gateway under a path where the settings say one."""
    from costmeter.api.access import own_user
    from costmeter.api.app import make_app
    from costmeter.web.app import add_pages
    from costmeter.web.site import Site

    app = make_app(service, metrics_folder=metrics_folder)
    asks = own_user if service.local else None
    add_pages(app, Site(service.reading, service.book, service.now, asks, settings().url))
    path = settings().gateway_mount
    if path is None:
        return app
    from costmeter.gateway.mounted import Mounted

    return Mounted(app, open_gateway(), path)


def service_app() -> FastAPI | Mounted:
    """The app of one of several processes that share a port."""
    from costmeter import logs
    from costmeter.settings import metrics_folder

    logs.configure(settings().log_level)
    return app_of(open_service(), metrics_folder=metrics_folder())


def spool_folder() -> Path:
    """The part of the spool folder that is for the server or the database of the settings, and for no other."""
    said = settings()
    if said.server_url is not None:
        return said.spool_dir / hashlib.sha256(said.server_url.rstrip("/").encode()).hexdigest()[:12]
    url = re.sub(r"(?<=://)([^:@/]*):[^@]*(?=@)", r"\1", said.database_url)  # a new password is no other database
    scheme, found, path = url.partition(":///")
    if found and scheme.startswith("sqlite"):
        url = f"{scheme}:///{Path(path).absolute()}"
    return said.spool_dir / hashlib.sha256(url.encode()).hexdigest()[:12]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"the folder of the database, {folder}, cannot be made: {error.strerror}") from error
