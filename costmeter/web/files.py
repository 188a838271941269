"""The files that pages load: their names hold the hash of their content, so that a browser may keep them for ever."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from costmeter.web.headers import FILE

router = APIRouter(include_in_schema=False)
_TYPES = {
    "costmeter.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "live.js": "text/javascript; charset=utf-8",
}


def path_of(name: str) -> str:
    """Where a page finds a file."""
    stem, _, ending = name.rpartition(".")
    return f"/static/{stem}.{hashlib.sha256(_content(name)).hexdigest()[:16]}.{ending}"


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """A file by the name that pages call it by."""
    for known, media_type in _TYPES.items():
        if path_of(known) == f"/static/{name}":
            return Response(_content(known), media_type=media_type, headers=FILE)
    raise HTTPException(404, f"there is no file {name[:100]!r}")


@cache
def _content(name: str) -> bytes:
    return (resources.files("costmeter.web") / "static" / name).read_bytes()
