"""A scope as a request asks for it, within what its key may see."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from costmeter.core.access import Grant
from costmeter.core.errors import InputError
from costmeter.reports.asked import scope_of
from costmeter.store.scope import Scope

Text = str | None
From = Annotated[Text, Query(alias="from", description="calls completed from this instant on")]
To = Annotated[Text, Query(alias="to", description="calls completed before this instant")]
Where = Annotated[list[str] | None, Query(description="only calls where KEY=VALUE; may be repeated")]


def scope_within(
    grant: Grant, *, month: Text, start: Text, end: Text, account: Text, currency: Text, where: list[str] | None
) -> Scope:
    """The scope that is asked for, within what the key may see."""
    asked, own = projects_within(grant, where), grant.account(account)
    return scope_of(month=month, start=start, end=end, account=own, currency=currency, where=asked)


def projects_within(grant: Grant, where: list[str] | None) -> list[str]:
    """The filters that are asked for, with the project that the key is limited to."""
    asked = list(where or ())
    projects = [text.partition("=")[2] for text in asked if text.startswith("project=")]
    if len(projects) > 1:
        raise InputError("where", "project", "names a project twice")
    project = grant.project(projects[0] if projects else None)
    if project is not None and not projects:
        asked.append(f"project={project}")
    return asked
