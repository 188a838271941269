"""Exports over HTTP: files that are streamed from one snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from costmeter.api import models
from costmeter.api.access import Reader, Serving
from costmeter.api.scopes import From, Text, To, Where
from costmeter.api.service import Service
from costmeter.exports.download import open_download
from costmeter.exports.export import Export
from costmeter.exports.focus import focus_export
from costmeter.exports.focus_format import Mode, Version
from costmeter.exports.format import MEDIA_TYPES, Format
from costmeter.exports.kinds import EXPORTS
from costmeter.reports.asked import scope_within
from costmeter.store.scope import Scope

router = APIRouter(prefix="/v1", tags=["exports"])
Excel = Annotated[Text, Query(description="CSV for the Excel of a locale, such as en, de or fr")]
_FILE = {"schema": {"type": "string", "format": "binary"}}
_CONTENT = {media_type.partition(";")[0]: _FILE for media_type in MEDIA_TYPES.values()}


def _route(export: Export) -> Callable[..., Response]:
    """The endpoint of a kind of export."""

    def endpoint(
        service: Serving,
        grant: Reader,
        *,
        month: Text = None,
        start: From = None,
        end: To = None,
        account: Text = None,
        currency: Text = None,
        where: Where = None,
        format: Format = Format.CSV,  # noqa: A002 - the contract's word
        excel: Excel = None,
    ) -> Response:
        scope = scope_within(grant, month=month, start=start, end=end, account=account, currency=currency, where=where)
        return _streamed(service, export, scope, format, excel)

    return endpoint


def focus(
    service: Serving,
    grant: Reader,
    *,
    month: Text = None,
    account: Text = None,
    currency: Text = None,
    focus_version: Version = Version.V1_4,
    focus_mode: Mode = Mode.ACCRUAL,
    format: Format = Format.CSV,  # noqa: A002 - the contract's word
) -> Response:
    """The endpoint of FOCUS, whose versions and modes are files of their own."""
    scope = scope_within(grant, month=month, start=None, end=None, account=account, currency=currency, where=None)
    return _streamed(service, focus_export(focus_version, focus_mode), scope, format, None)


def _streamed(service: Service, export: Export, scope: Scope, form: Format, excel: str | None) -> Response:
    file = open_download(service.reading, export, scope, form, excel)
    return StreamingResponse(file.parts, media_type=file.media_type, headers=file.headers)


for kind in EXPORTS.values():
    router.add_api_route(
        f"/exports/{kind.name}",
        focus if kind.name == "focus" else _route(kind),
        operation_id=f"export_{kind.name}",
        summary=kind.what,
        description="Streamed from one snapshot; a file that breaks off in the middle has no end chunk.",
        response_class=Response,
        responses={
            200: {"description": "The file", "content": _CONTENT},
            **models.problems(401, 403, 404, 409, 422, 503),
        },
    )
