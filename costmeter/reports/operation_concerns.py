"""What of the books and of the installation needs a hand, the worst first; pages have the words and the remedies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from costmeter.core.periods import parse_instant
from costmeter.core.watch import Thresholds
from costmeter.store.quarantine import CONFLICT
from costmeter.store.runs import FAILED, LOST, WARNED

WAITS_LONG = timedelta(minutes=Thresholds().unposted_minutes)
Told = Mapping[str, Any]


def concerns(books: Told | None, installation: Told | None, now: datetime) -> list[dict[str, Any]]:
    """Each thing that is wrong: its `kind`, and what is to be said of it."""
    of_books = [] if books is None else [*_of_books(books, now)]
    return [*([] if installation is None else _of_installation(installation)), *of_books]


def _of_installation(told: Told) -> Iterator[dict[str, Any]]:
    poster, database, gateway = told["poster"], told["database"], told["gateway"]
    if not poster["is_alive"]:
        yield {"kind": "poster_ended"}
    elif poster["failing_since"]:
        yield {"kind": "poster_fails", "since": poster["failing_since"]}
    if database["schema"] != database["newest"]:
        yield {"kind": "schema", "schema": database["schema"], "newest": database["newest"]}
    yield from _of_scheduler(told["scheduler"])
    if gateway and gateway["is_away"]:
        yield {"kind": "gateway_away"}
    if gateway and gateway["dropped"]:
        yield {"kind": "gateway_dropped", "calls": gateway["dropped"]}
    yield from _of_spool(told["spool"])
    for channel, count in sorted(told["given_up"].items()):
        yield {"kind": "given_up", "channel": channel, "notices": count}
    if database["months_ahead"] == 0:
        yield {"kind": "partitions"}


def _of_scheduler(told: Told) -> Iterator[dict[str, Any]]:
    if told["lease"] is None:
        yield {"kind": "no_scheduler"}
    for one in told["jobs"]:
        run = one["newest"]
        if run and run["outcome"] in (FAILED, WARNED, LOST):
            said = (run["error"] or "").splitlines()
            yield {"kind": "job", "job": one["job"], "outcome": run["outcome"], "at": run["finished_at"],
                   "said": said[0] if said else None, "more": max(len(said) - 1, 0)}  # fmt: skip
    if told["plan_error"]:
        yield {"kind": "plan", "said": told["plan_error"]}


def _of_spool(spool: Told | None) -> Iterator[dict[str, Any]]:
    if spool is None:
        return
    if spool["bytes"] >= spool["limit"]:
        yield {"kind": "spool_full", "bytes": spool["bytes"], "limit": spool["limit"]}
    gone = [lane for lane in spool["lanes"] if not lane["is_alive"] and lane["bytes"]]
    if gone:
        yield {"kind": "leftovers", "lanes": len(gone), "bytes": sum(lane["bytes"] for lane in gone)}
    if spool["lost"]:
        yield {"kind": "lost", "calls": spool["lost"], "folder": spool["folder"]}


def _of_books(books: Told, now: datetime) -> Iterator[dict[str, Any]]:
    for one in books["frozen"]:
        yield {"kind": "frozen", **one}
    frozen = {one["account"] for one in books["frozen"]}
    late = [one for one in books["posting"]["accounts"] if one["account"] not in frozen]
    if late and now - parse_instant(late[0]["since"]) >= WAITS_LONG:
        yield {"kind": "unposted", **late[0]}
    waiting = sum(found["items"] for kind, found in books["quarantine"].items() if kind != CONFLICT)
    if waiting:
        yield {"kind": "quarantine", "items": waiting}
    if CONFLICT in books["quarantine"]:
        yield {"kind": "conflicts", "items": books["quarantine"][CONFLICT]["items"]}
