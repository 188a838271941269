"""The pages as a part of the service's app."""

from __future__ import annotations

from importlib.util import find_spec

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from costmeter.web.headers import PAGE
from costmeter.web.site import Site

NEEDED = ("jinja2", "vl_convert")


def add_pages(app: FastAPI, site: Site) -> None:
    """Give an app the pages; where what draws them is not installed, its first page says what to install."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        _say_what_is_missing(app, missing)
        return
    from costmeter.web import (
        audit,
        call,
        files,
        jobs,
        key_changes,
        keys,
        live,
        operations,
        overview,
        quarantine,
        quarantine_changes,
        sign_in,
    )

    app.state.site = site
    operating = (operations, jobs, quarantine, quarantine_changes, keys, key_changes, audit)
    for part in (overview, call, *operating, live, sign_in, files):
        app.include_router(part.router)
        app.state.routes += part.router.routes


def _say_what_is_missing(app: FastAPI, missing: list[str]) -> None:
    text = (
        f"The pages need {', '.join(missing)}: pip install 'costmeter[web]'. The API is there without: /openapi.json\n"
    )

    @app.get("/", include_in_schema=False)
    def first_page() -> PlainTextResponse:
        return PlainTextResponse(text, 503, headers=PAGE)
