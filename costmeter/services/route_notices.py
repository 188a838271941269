"""Route notices: decide once which channels tell each, and keep what they tell, so that it is the same for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from sqlalchemy import Engine

from costmeter.core.notice_kinds import KINDS
from costmeter.core.notices import DIGEST, Message, compose
from costmeter.services.find_spenders import find_spenders
from costmeter.store import notices
from costmeter.store.engine import in_transaction, reading
from costmeter.store.notices import Unrouted

log = logging.getLogger(__name__)
AT_ONCE = 100  # notices of one round


def route_notices(
    engine: Engine,
    channels: Collection[str],
    *,
    digests: Mapping[str, Collection[str]],
    site: str | None,
    clock: Callable[[], datetime],
) -> int:
    """Put every notice on its way through its own channels, else through all; returns how many these were.

    A digest goes through those that tell its kind, which `digests` has. One transaction for each. A channel that is
    not known (any more) is given up at once, and the log says so. Any number of processes may route at once: one of
    them decides, and the others leave it at that.
    """
    routed = 0
    while True:
        with reading(engine) as connection:
            found = notices.unrouted(connection, AT_ONCE)
        for one in found:
            with reading(engine) as connection:
                message = compose(one.notice, KINDS, spend=find_spenders(connection, one.notice), site=site)
            names = _names(one, channels, digests)
            refused = {name: None if name in channels else unknown(name) for name in names}
            routed += _route(engine, one, message, refused, clock())
        if len(found) < AT_ONCE:
            return routed


def _names(one: Unrouted, channels: Collection[str], digests: Mapping[str, Collection[str]]) -> Collection[str]:
    if one.channels:
        return one.channels
    if one.notice.event == DIGEST:
        return digests.get(str(one.notice.facts.get("digest")), ())
    return sorted(channels)


def _route(engine: Engine, one: Unrouted, message: Message, refused: Mapping[str, str | None], now: datetime) -> bool:
    is_ours = in_transaction(engine, lambda connection: notices.route(connection, one, message, refused, now))
    if is_ours:
        for error in filter(None, refused.values()):
            log.error("notice %s (%s) is given up: %s", message.notice_id, message.title, error)
    return is_ours


def unknown(channel: str) -> str:
    """Why nothing can be told through a channel that no file has."""
    return f"there is no channel {channel!r}; name it in the file of COSTMETER_CHANNELS, then: costmeter alerts retry"
