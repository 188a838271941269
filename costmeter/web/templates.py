"""The templates of the pages: every text is escaped, and every word goes through the catalogue of messages.

Messages are English in the templates themselves (gettext's way): a translation adds a catalogue and changes no page.
"""

from __future__ import annotations

import gettext
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from costmeter import __version__
from costmeter.web import files, texts
from costmeter.web.access import Visitor
from costmeter.web.addresses import address, call_path, statement_path
from costmeter.web.headers import PAGE

CARRIED = ("account", "timezone")  # filters that go along from page to page

if TYPE_CHECKING:
    from jinja2 import Environment


def page(request: Request, name: str, *, visitor: Visitor | None = None, status: int = 200, **values: Any) -> Response:
    """The answer that a template makes."""
    asked = request.query_params
    carried = {filter_name: asked.get(filter_name) for filter_name in CARRIED}
    carried["account"] = carried["account"] or request.path_params.get("account")
    told = {"path": request.url.path, "visitor": visitor, "did": asked.get("did"), "carried": carried}
    shown = _environment().get_template(f"{name}.html.j2").render(**told, **values)
    return Response(shown, status, headers=PAGE, media_type="text/html; charset=utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("costmeter.web"),
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(gettext.NullTranslations(), newstyle=True)  # type: ignore[attr-defined]
    filters = ("amount", "clock", "count", "instant", "lasted", "size", "sources", "until")
    made.filters |= {name: getattr(texts, name) for name in filters}
    made.globals |= {
        "version": __version__,
        "file": files.path_of,
        "address": address,
        "call_path": call_path,
        "statement_path": statement_path,
    }
    return made
