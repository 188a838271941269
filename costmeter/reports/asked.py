"""A scope as people and scripts ask for it: in texts, on the command line, over HTTP and on pages alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from costmeter.core.access import Grant
from costmeter.core.errors import InputError
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


def scope_within(
    grant: Grant,
    *,
    month: str | None,
    start: str | None,
    end: str | None,
    account: str | None,
    currency: str | None,
    where: Sequence[str] | None,
) -> Scope:
    """The scope that is asked for, within what the key may see."""
    asked, own = projects_within(grant, where), grant.account(account)
    return scope_of(month=month, start=start, end=end, account=own, currency=currency, where=asked)


def projects_within(grant: Grant, where: Sequence[str] | None) -> list[str]:
    """The filters that are asked for, with the project that the key is limited to."""
    asked = list(where or ())
    projects = [text.partition("=")[2] for text in asked if text.startswith("project=")]
    if len(projects) > 1:
        raise InputError("where", "project", "names a project twice")
    project = grant.project(projects[0] if projects else None)
    if project is not None and not projects:
        asked.append(f"project={project}")
    return asked


def _instant(text: str | None, field: str) -> datetime | None:
    return None if text is None else parse_instant(text, field)
