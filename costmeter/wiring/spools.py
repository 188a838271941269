"""What recorded calls are delivered to: the database of the settings, or a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from costmeter.core.errors import SetupError
from costmeter.wiring.databases import open_database
from costmeter.wiring.given import home, price_book, settings, spool_folder

if TYPE_CHECKING:
    from costmeter.client.client import Client
    from costmeter.recorder.delivery import Deliver
    from costmeter.recorder.spool import Spool


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


def open_spool(deliver: Deliver | None = None) -> Spool:
    """A spool that delivers to what the settings say, which is opened at the first delivery, unless told otherwise."""

    from costmeter.recorder.delivery import OpenInEachProcess
    from costmeter.recorder.spool import Spool

    said, deliver = settings(), deliver or OpenInEachProcess(delivery)
    return Spool(deliver, folder=spool_folder(), limit=said.spool_limit, sync=said.spool_sync)
