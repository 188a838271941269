"""A scope as people and scripts ask for it: in texts, on the command line and over HTTP alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from costmeter.core.money import check_currency
from costmeter.core.periods import parse_instant
from costmeter.store.scope import Scope


def scope_of(
    *,
    month: str | None,
    start: str | None,
    end: str | None,
    account: str | None,
    currency: str | None,
    where: Sequence[str] | None,
    known_at: datetime | None = None,
) -> Scope:
    """The scope that the options of a report or an export mean; raises InputError by the name of the option."""
    if currency is not None:
        check_currency(currency)
    return Scope.checked(
        month=month,
        start=_instant(start, "from"),
        end=_instant(end, "to"),
        account=account,
        currency=currency,
        where=where or (),
        known_at=known_at,
    )


def _instant(text: str | None, field: str) -> datetime | None:
    return None if text is None else parse_instant(text, field)
