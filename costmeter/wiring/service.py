"""The service of one process: API and pages, and the gateway where the settings mount it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from costmeter.wiring.databases import open_database
from costmeter.wiring.gateway import open_gateway
from costmeter.wiring.given import close_grace, home, price_book, settings, watch_thresholds
from costmeter.wiring.jobs import channels, outbox
from costmeter.wiring.machine import look_at_machine
from costmeter.wiring.process import collect_seldom

if TYPE_CHECKING:
    from fastapi import FastAPI

    from costmeter.api.service import Service
    from costmeter.gateway.mounted import Mounted


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
    from costmeter.web.posted import Posted
    from costmeter.web.site import Site

    path = settings().gateway_mount
    gateway = None if path is None else open_gateway()
    app = make_app(service, metrics_folder=metrics_folder)
    site = Site(
        service.reading,
        service.book,
        service.now,
        service.engine,
        service.home,
        service.close_grace,
        channels=lambda: channels().by_name,
        posted=Posted(service.reading),
        machine=partial(look_at_machine, service, gateway),
        own_user=own_user if service.local else None,
        url=settings().url,
    )
    add_pages(app, site)
    if gateway is None or path is None:
        return app
    from costmeter.gateway.mounted import Mounted

    return Mounted(app, gateway, path)


def service_app() -> FastAPI | Mounted:
    """The app of one of several processes that share a port."""
    from costmeter import logs
    from costmeter.settings import metrics_folder

    collect_seldom()
    logs.configure(settings().log_level)
    return app_of(open_service(), metrics_folder=metrics_folder())
