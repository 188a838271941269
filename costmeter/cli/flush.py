"""`costmeter flush`: what processes that are gone left in the spool, brought into the database."""

from __future__ import annotations

from typing import Any

from costmeter import wiring
from costmeter.cli.database import database
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line
from costmeter.recorder.leftovers import deliver_leftovers
from costmeter.services.capture import capture
from costmeter.store import accounts
from costmeter.store.engine import reading


def flush(as_json: AsJson = False) -> None:
    """Deliver the calls that dead processes left in the spool folder, and post them."""
    book, home = wiring.price_book(), wiring.home()
    with database() as engine:

        def deliver(records: list[dict[str, Any]]) -> bool:
            capture(engine, records, book=book, home=home)
            return True

        delivered = deliver_leftovers(wiring.spool_folder(), deliver)
        with reading(engine) as connection:
            frozen = accounts.frozen(connection)
    if as_json:
        print_json({"delivered": delivered})
    else:
        print_line(f"{delivered} calls of processes that are gone delivered and posted")
    note_frozen(frozen)
