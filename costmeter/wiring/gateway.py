"""The gateway of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costmeter.wiring.databases import currency_of_account, open_database
from costmeter.wiring.given import price_book, settings
from costmeter.wiring.process import collect_seldom
from costmeter.wiring.spools import open_spool

if TYPE_CHECKING:
    from costmeter.gateway.admission import Admission
    from costmeter.gateway.app import Gateway
    from costmeter.gateway.callers import Callers


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


def gateway_app() -> Gateway:
    """The gateway of one of several processes that share a port."""
    from costmeter import logs

    collect_seldom()
    logs.configure(settings().log_level)
    return open_gateway()
