"""The only builder, from the settings: engines, books, the service, the gateway, what the recorder delivers to.

The database layer is imported where it is needed: a program that wraps its client should not wait for it.
"""

from costmeter.wiring.databases import open_bare_database, open_database
from costmeter.wiring.gateway import admission, callers, gateway_app, open_gateway
from costmeter.wiring.given import close_grace, home, price_book, settings, spool_folder, watch_thresholds
from costmeter.wiring.jobs import channels, open_scheduler, outbox, reconciling, vendor_balance
from costmeter.wiring.process import collect_seldom
from costmeter.wiring.service import app_of, open_service, service_app
from costmeter.wiring.spools import delivery, open_spool, server_client

__all__ = [
    "admission", "app_of", "callers", "channels", "close_grace", "collect_seldom", "delivery", "gateway_app", "home",
    "open_bare_database", "open_database", "open_gateway", "open_scheduler", "open_service", "open_spool", "outbox",
    "price_book", "reconciling", "server_client", "service_app", "settings", "spool_folder", "vendor_balance",
    "watch_thresholds",
]  # fmt: skip
