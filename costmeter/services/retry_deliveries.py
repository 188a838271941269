"""Retry deliveries: what was given up is tried again as if it were new."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.core.texts import check_said
from costmeter.store import audit, notices
from costmeter.store.engine import in_transaction
from costmeter.store.keys import key_text

ALL = "all"  # what the audit log calls them where neither a notice nor a channel is named


def retry_deliveries(
    engine: Engine, *, notice_id: bytes | None = None, channel: str | None = None, by: str, now: datetime
) -> int:
    """How many deliveries these are: of one notice or channel, of both, or all that were given up."""
    by = check_said(by, "by")
    notice = None if notice_id is None else key_text(notice_id)

    def retry(connection: Connection) -> int:
        count = notices.try_again(connection, now, channel=channel, notice_id=notice_id)
        if count:
            change = {"notice_id": notice, "channel": channel, "deliveries": count}
            audit.add(connection, "alerts.retry", notice or channel or ALL, change, by=by, at=now)
        return count

    return in_transaction(engine, retry)


def read_notice_id(text: str) -> bytes:
    """The key of a notice's id as it is written, with its hyphens or without."""
    try:
        key = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        key = b""
    if len(key) != 16:
        raise InputError("notice", text, "is no id of a notice; see: costmeter alerts deliveries")
    return key
