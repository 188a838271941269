"""The statement of a month as it is shown: that of a closed month as it was kept, of an open one as it stands."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from costmeter.core.errors import DetachedError
from costmeter.core.periods import check_month, format_instant
from costmeter.reports.lessons import month_lessons
from costmeter.store import accounts, closings
from costmeter.store.closings import Closing
from costmeter.store.statements import read_statement


def statement_shape(connection: Connection, account: str, month: str, now: datetime) -> dict[str, Any]:
    """The statement as JSON has it, all amounts exact decimal strings.

    That of a closed month is the one that was kept, with `closing` saying by whom and under which SHA-256: it never
    changes. NotFoundError where there is no such account, DetachedError where an open month's calls are detached.
    """
    found = accounts.get(connection, account)
    closing = closings.get(connection, found.account, check_month(month))
    if closing is None:
        return read_statement(connection, found, month, now).as_dict()
    shape: dict[str, Any] = json.loads(closing.statement)
    return {**shape, "closing": closing_shape(closing)}


def full_shape(connection: Connection, account: str, month: str, now: datetime) -> dict[str, Any]:
    """The statement with what its month teaches, for the page and the PDF; null where calls it would need are away."""
    shape = statement_shape(connection, account, month, now)
    try:
        lessons = month_lessons(connection, shape["account"], month).as_dict()
    except DetachedError:
        lessons = None
    return {**shape, "lessons": lessons}


def closing_shape(closing: Closing) -> dict[str, Any]:
    """How a month was closed; `sha256` is that of the manifest, which names the statement's."""
    manifest = json.loads(closing.manifest)
    override = None
    if closing.reason is not None:
        override = {"by": closing.by_whom, "reason": closing.reason, "blockers": closing.blockers}
    return {
        "closed_at": format_instant(closing.closed_at),
        "by": closing.by_whom,
        "sha256": closing.sha256,
        "previous_sha256": closing.previous,
        "statement_sha256": manifest["statement_sha256"],
        "first_seq": manifest["first_seq"],
        "last_seq": closing.last_seq,
        "editions": manifest["editions"],
        "override": override,
    }
