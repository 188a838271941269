"""`costmeter flush`: what processes that are gone left in the spool, brought to where it is kept."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from costmeter import wiring
from costmeter.cli.database import snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line
from costmeter.recorder.leftovers import deliver_leftovers
from costmeter.store import accounts


def flush(as_json: AsJson = False) -> None:
    """Deliver the calls that dead processes left in the spool folder, and post them (a server posts them itself)."""
    with closing(wiring.delivery()) as deliver:

        def delivered(records: list[dict[str, Any]]) -> bool:
            deliver(records)
            return True

        count = deliver_leftovers(wiring.spool_folder(), delivered)
    if as_json:
        print_json({"delivered": count})
    else:
        print_line(f"{count} calls of processes that are gone delivered and posted")
    if wiring.settings().server_url is None:
        with snapshot() as connection:
            note_frozen(accounts.frozen(connection))
