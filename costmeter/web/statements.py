"""The months of an account, and the statement of one: the figures that `costmeter statement` says, and its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from costmeter.core.access import FINANCE
from costmeter.core.errors import InputError
from costmeter.core.money import parse_total
from costmeter.core.periods import zone
from costmeter.exports.statement_file import STATEMENT_FILES
from costmeter.reports.months import list_months
from costmeter.reports.statement_checks import check_sums
from costmeter.reports.statements import full_shape, statement_shape
from costmeter.web.access import visitor_of
from costmeter.web.choosing import choose_account
from costmeter.web.exports import Wanted, choices_of
from costmeter.web.headers import PAGE
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None
MOST = 50  # rows of a table that may have one for each project or key


class Part(NamedTuple):
    """The rows of a table that cost the most, and how many others there are."""

    rows: Sequence[dict[str, Any]]
    others: int


@router.get("/statements")
def months(request: Request, account: Text = None, timezone: Text = None, before: Text = None) -> Response:
    """The months of an account with the state of each, its seals, and the form of exports."""
    visitor, site = visitor_of(request), site_of(request)
    grant = visitor.grant
    if grant.projects is not None:  # statements are of whole accounts; exports are of projects, too
        return RedirectResponse("/statements/exports", 303, headers=PAGE)
    with site.reading() as connection:
        chosen = choose_account(connection, grant, account or None, timezone or None)
        listed = None
        if chosen.account is not None:
            now, grace = site.now(), site.close_grace
            listed = list_months(connection, chosen.account, grace=grace, now=now, before=before or None)
        choices = choices_of(connection, grant, site.now())
    wanted = Wanted(account=None if chosen.account is None else chosen.account.account)
    return page(
        request,
        "statements",
        visitor=visitor,
        chosen=chosen,
        listed=listed,
        is_newest=not before,
        may_close=grant.may(FINANCE),
        wanted=wanted,
        choices=choices,
    )


@router.get("/statements/{account:path}/{month}.{form}")
def statement_file(request: Request, account: str, month: str, form: str) -> Response:
    """The statement as a file, with the same bytes as the API's."""
    visitor, site = visitor_of(request), site_of(request)
    name = visitor.grant.whole_account(account)
    file = STATEMENT_FILES.get(form)
    if file is None:
        raise InputError("format", form, f"use one of {', '.join(STATEMENT_FILES)}")
    read = full_shape if file.has_lessons else statement_shape
    with site.reading() as connection:
        shape = read(connection, name, month, site.now())
    saved_as = quote(f"statement-{shape['account']}-{month}.{form}", safe="")
    headers = PAGE | {"Content-Disposition": f"attachment; filename*=UTF-8''{saved_as}"}
    return Response(file.render(shape), media_type=file.media_type, headers=headers)


@router.get("/statements/{account:path}/{month}")
def statement(request: Request, account: str, month: str, timezone: Text = None) -> Response:
    """The statement of a month."""
    visitor, site = visitor_of(request), site_of(request)
    name = visitor.grant.whole_account(account)
    with site.reading() as connection:
        shape = full_shape(connection, name, month, site.now())
    shown_zone = timezone or shape["timezone"]
    zone(shown_zone)
    lessons = shape["lessons"]
    return page(
        request,
        "statement",
        visitor=visitor,
        statement=shape,
        closing=shape["closing"],
        lessons=lessons,
        taught=None if lessons is None else dearest(lessons["rows"]),
        showback={by: dearest(rows) for by, rows in shape["showback"].items()},
        checks=check_sums(shape),
        timezone=shown_zone,
        may_close=visitor.grant.may(FINANCE),
    )


def dearest(rows: Sequence[dict[str, Any]]) -> Part:
    """What cost the most, first; what cost the same stays in its order."""
    ordered = sorted(rows, key=lambda row: -parse_total(row["cost"]))
    return Part(ordered[:MOST], max(0, len(ordered) - MOST))
