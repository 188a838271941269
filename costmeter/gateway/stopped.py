"""Which accounts have anything that could stop a call, as it was a second ago at most."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future

from sqlalchemy import Engine

from costmeter.gateway.patience import Database
from costmeter.services.reserve import Stops, stops_of
from costmeter.store import budgets
from costmeter.store.engine import reading

KNOWN_SECONDS = 1.0


class Stopped:
    """Reads all of them at once, once a second while calls come, so that a call costs a look into a dictionary."""

    def __init__(self, database: Database, *, of_balance: bool) -> None:
        self._database = database
        self._of_balance = of_balance
        self._known: Mapping[str, Stops] = {}
        self._known_until = self._read_until = 0.0
        self._reading: Future[Mapping[str, Stops]] | None = None

    async def of(self, account: str) -> Stops | None:
        """What stops an account; None where nothing does. AwayError where that cannot be told."""
        if time.monotonic() >= self._known_until:
            await self._read_again()
        return self._known.get(account)

    async def _read_again(self) -> None:
        """The first to miss it asks, and all who come meanwhile wait for the same answer."""
        if self._reading is None or self._reading.done():
            self._read_until = time.monotonic() + KNOWN_SECONDS
            self._reading = self._database.submit(self._read)
        asked, until = self._reading, self._read_until
        self._known = await self._database.answer(asked)
        self._known_until = until

    def _read(self, engine: Engine) -> Mapping[str, Stops]:
        with reading(engine) as connection:
            found = budgets.stopped_accounts(connection, of_balance=self._of_balance)
            return {account.account: stops_of(connection, account) for account in found}
