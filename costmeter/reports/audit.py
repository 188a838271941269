"""The audit log as pages show it: who changed what, in pages and with filters."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from costmeter.core.errors import InputError
from costmeter.reports.shapes import audit_shape
from costmeter.store import audit

PAGE = 50  # changes that are listed at once


def audit_report(
    connection: Connection,
    account: str | None = None,
    *,
    by: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    before: str | None = None,
) -> dict[str, Any]:
    """Changes, the newest first, PAGE at once; `next` is what names the place that the others stand after.

    `actions` are those that there are to choose from. Without an account it is of all, and of what belongs to none.
    """
    names = None if account is None else [account]
    found = audit.listed(connection, names, by=by, action=action, since=since, before=_placed(before), limit=PAGE + 1)
    more = found[PAGE - 1].entry.hex() if len(found) > PAGE else None
    return {
        "entries": [audit_shape(entry) for entry in found[:PAGE]],
        "next": more,
        "actions": audit.actions(connection, names),
    }


def _placed(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InputError("before", text, "follow the link of the page before") from None
