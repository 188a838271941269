"""Try a channel: send a test notice through it now, and say what its receiver said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine

from costmeter.core.deliveries import Channel
from costmeter.core.errors import InputError, RefusedError, UnreachableError
from costmeter.core.notice_kinds import KINDS
from costmeter.core.notices import TEST, Notice, compose
from costmeter.core.texts import check_said
from costmeter.store import audit
from costmeter.store.engine import in_transaction
from costmeter.store.keys import new_id


class Trial(NamedTuple):
    """What became of a test notice; without an error its receiver has accepted it."""

    channel: str
    notice_id: str
    error: str | None


def try_channel(
    engine: Engine, channels: Mapping[str, Channel], name: str, *, site: str | None, by: str, now: datetime
) -> Trial:
    """Send one test notice, once, outside of any transaction; that it was sent is kept in the audit log.

    InputError where no channel has the name. `site` is the public address, which links begin with.
    """
    by = check_said(by, "by")
    if name not in channels:
        raise InputError("channel", name, f"is none of {', '.join(sorted(channels))}; see COSTMETER_CHANNELS")
    notice = Notice("", new_id(), TEST, TEST, name, {"channel": name}, now)
    error: str | None = None
    try:
        channels[name].send(compose(notice, KINDS, site=site))
    except (RefusedError, UnreachableError) as raised:
        error = str(raised)
    change = {"notice_id": notice.notice_id, "accepted": error is None}
    in_transaction(engine, lambda connection: audit.add(connection, "alerts.test", name, change, by=by, at=now))
    return Trial(name, notice.notice_id, error)
