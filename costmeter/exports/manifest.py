"""What a file of an export is, in a file beside it: enough to tell whether another has the same content, or why not.

It holds no reading of a clock: two exports of the same rows in the same way have the same manifest.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from costmeter import __version__
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.exports.content import Content
from costmeter.exports.format import VERSION, Format
from costmeter.store.events import of_one_event
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow, EventRow


def manifest(
    connection: Connection, content: Content, scope: Scope, form: Format, excel: str | None = None
) -> dict[str, Any]:
    """Kind, format, rows, sums, scope, price editions and digest of a content whose blocks are all taken."""
    in_scope = scope.accounts(connection)
    period = scope.period
    return {
        "format_version": VERSION,
        "kind": content.export.name,
        "format": form.value,
        "excel": excel,
        "rows": content.rows,
        "sums": {name: format_amount(units) for name, units in content.sums.items()},
        "month": scope.month,
        "from": format_instant(period.start) if period and period.start else None,
        "to": format_instant(period.end) if period and period.end else None,
        "account": scope.account,
        "where": dict(scope.where),
        "currency": scope.currency or next((account.currency for account in in_scope), None),
        "timezones": sorted({account.timezone for account in in_scope}),
        "editions": _editions(connection, scope),
        "content_sha256": content.sha256,
        "costmeter": __version__,
    }


def _editions(connection: Connection, scope: Scope) -> list[str]:
    """The price books by which the charges in scope were priced."""
    query = select(ChargeRow.edition).distinct().where(*scope.charges())
    if scope.where:
        query = query.join(EventRow, of_one_event(ChargeRow, EventRow))
    return sorted(connection.scalars(query))
