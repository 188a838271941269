"""Prices an account again, and dies by SIGKILL after the commit of its first month: run by test_reprice.py."""

from __future__ import annotations

import os
import signal
import sys

from sqlalchemy import Connection, event

from costmeter.prices.read import read_edition
from costmeter.services.reprice import reprice
from costmeter.store.engine import open_engine
from tests.late_prices import with_new_model
from tests.make import NOW, at


def main(url: str) -> None:
    engine = open_engine(url)

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return  # whether PostgreSQL knows its tables is no transaction
        begun.append(1)
        if len(begun) == 3:  # the reading, the first month, and now the second
            os.kill(os.getpid(), signal.SIGKILL)

    begun: list[int] = []
    reprice(engine, book=with_new_model(), read_book=read_edition, by="finance", now=at(NOW))


if __name__ == "__main__":
    main(sys.argv[1])
