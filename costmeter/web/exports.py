"""Exports by a form: the files of `costmeter export`, for who is signed in and has no key at hand for the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from costmeter.core.access import Grant
from costmeter.core.errors import CostmeterError, InputError
from costmeter.core.money import CURRENCIES
from costmeter.core.periods import month_before, month_of
from costmeter.exports.download import Download, open_beancount, open_download
from costmeter.exports.export import Export
from costmeter.exports.focus import focus_export
from costmeter.exports.focus_format import Mode, Version
from costmeter.exports.format import Format
from costmeter.exports.kinds import EXPORTS
from costmeter.exports.spreadsheet import PRESETS
from costmeter.reports.asked import scope_within
from costmeter.store import accounts
from costmeter.web.access import Visitor, visitor_of
from costmeter.web.filters import LISTED, accounts_to_choose
from costmeter.web.headers import SAFE
from costmeter.web.route import PageRoute, status_of
from costmeter.web.site import Site, site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
BEANCOUNT = "beancount"  # a format of the journal alone
Choice = TypeVar("Choice", bound=StrEnum)


class Wanted(NamedTuple):
    """What somebody has filled into the form; an empty field is none."""

    kind: str | None = None
    account: str | None = None
    currency: str | None = None
    month: str | None = None
    start: str | None = None
    end: str | None = None
    format: str | None = None
    excel: str | None = None
    focus_version: str | None = None
    focus_mode: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """The fields of an address, where `start` and `end` are called from and to."""
        names = {"start": "from", "end": "to"}
        return cls(*(query.get(names.get(name, name)) or None for name in cls._fields))


class Choices(NamedTuple):
    """What the form lets one choose from; no accounts where there are too many to list."""

    accounts: Sequence[str]
    has_all_accounts: bool
    last_month: str
    kinds: Sequence[str] = tuple(EXPORTS)
    currencies: Sequence[str] = CURRENCIES
    formats: Sequence[str] = (*Format, BEANCOUNT)
    presets: Sequence[str] = tuple(sorted(PRESETS))
    focus_versions: Sequence[str] = tuple(Version)
    focus_modes: Sequence[str] = tuple(Mode)


@router.get("/statements/exports")
def exports(request: Request) -> Response:
    """The file that the form asks for; without a kind, or where something is wrong, the form."""
    visitor, site = visitor_of(request), site_of(request)
    wanted = Wanted.of(request.query_params)
    if wanted.kind is None:
        return _form(request, visitor, wanted)
    try:
        file = _opened(site, visitor.grant, wanted)
    except CostmeterError as error:
        return _form(request, visitor, wanted, error)
    return StreamingResponse(file.parts, media_type=file.media_type, headers=SAFE | dict(file.headers))


def _form(request: Request, visitor: Visitor, wanted: Wanted, error: CostmeterError | None = None) -> Response:
    site = site_of(request)
    with site.reading() as connection:
        choices = choices_of(connection, visitor.grant, site.now())
    status = 200 if error is None else status_of(error)
    wrong = None if error is None else str(error)
    return page(request, "exports", visitor=visitor, status=status, wanted=wanted, choices=choices, wrong=wrong)


def choices_of(connection: Connection, grant: Grant, now: datetime) -> Choices:
    """What somebody may choose from."""
    seen = accounts_to_choose(connection, grant)
    names = [one.account for one in seen] if len(seen) <= LISTED else []
    return Choices(names, grant.accounts is None, month_before(month_of(now, accounts.shared_zone(seen))))


def _opened(site: Site, grant: Grant, wanted: Wanted) -> Download:
    """The file, with the scope that the API would give it."""
    export = _export(wanted)
    scope = scope_within(
        grant,
        month=wanted.month,
        start=wanted.start,
        end=wanted.end,
        account=wanted.account,
        currency=wanted.currency,
        where=None,
    )
    if wanted.format == BEANCOUNT:
        if export.name != "journal":
            raise InputError("format", BEANCOUNT, f"is a format of the journal; choose another for {export.name}")
        return open_beancount(site.reading, scope)
    form = _chosen("format", wanted.format, Format, Format.CSV)
    return open_download(site.reading, export, scope, form, wanted.excel)


def _export(wanted: Wanted) -> Export:
    export = EXPORTS.get(wanted.kind or "")
    if export is None:
        raise InputError("kind", wanted.kind, f"use one of {', '.join(EXPORTS)}")
    if export.name != "focus":
        return export
    if wanted.excel is not None:
        raise InputError("excel", wanted.excel, "FOCUS is for programs; leave it out")
    version = _chosen("focus_version", wanted.focus_version, Version, Version.V1_4)
    return focus_export(version, _chosen("focus_mode", wanted.focus_mode, Mode, Mode.ACCRUAL))


def _chosen(field: str, text: str | None, kind: type[Choice], default: Choice) -> Choice:
    """One of several words."""
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError:
        raise InputError(field, text, f"use one of {', '.join(kind)}") from None
