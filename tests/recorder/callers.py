"""Everything that a caller can see of a call, to be compared with and without the recorder."""

from __future__ import annotations

import re
from contextlib import aclosing, closing
from typing import Any

import httpx
import httpx2
import pytest

from .replies import ASKED

ERRORS = httpx.HTTPError, httpx2.HTTPError
OWN = {"x-costmeter-project": "search", "x-costmeter-tags": "team=a"}


def see(client: Any, read: str = "iter_raw", headers: dict[str, str] | None = None) -> list[Any]:
    """Everything that a caller can see of a call, chunk by chunk."""
    request = client.build_request("POST", "/chat/completions", json=ASKED, headers=headers)
    seen: list[Any] = [request.headers.raw, sorted(request.extensions)]
    try:
        with closing(client.send(request, stream=True)) as response:
            seen += head_of(response, request)
            for chunk in getattr(response, read)():
                seen.append(chunk)
        seen += [response.num_bytes_downloaded, response.is_closed, response.is_stream_consumed, type(response.elapsed)]
    except ERRORS as error:
        seen += error_of(error, request)
    return [*seen, request.headers.raw, sorted(request.extensions)]


async def see_async(client: Any, read: str = "aiter_raw", headers: dict[str, str] | None = None) -> list[Any]:
    request = client.build_request("POST", "/chat/completions", json=ASKED, headers=headers)
    seen: list[Any] = [request.headers.raw, sorted(request.extensions)]
    try:
        async with aclosing(await client.send(request, stream=True)) as response:
            seen += head_of(response, request)
            async for chunk in getattr(response, read)():
                seen.append(chunk)
        seen += [response.num_bytes_downloaded, response.is_closed, response.is_stream_consumed, type(response.elapsed)]
    except ERRORS as error:
        seen += error_of(error, request)
    return [*seen, request.headers.raw, sorted(request.extensions)]


def head_of(response: Any, request: Any) -> list[Any]:
    """A response before its body: its status, headers and extensions, what it belongs to, and no elapsed time yet."""
    with pytest.raises(RuntimeError, match="elapsed"):
        _ = response.elapsed
    plain = {name: value for name, value in response.extensions.items() if isinstance(value, bytes)}
    said = [response.status_code, response.reason_phrase, response.http_version, response.headers.raw, plain]
    kinds = {name: type(value) for name, value in response.extensions.items()}
    return [*said, kinds, response.request is request, response.history, type(response), response.next_request is None]


def error_of(error: Exception, request: Any) -> list[Any]:
    """An error as its catcher sees it: what it is, what it says, the request it is about, and its causes."""
    causes: list[Any] = []
    cause: BaseException | None = error
    while cause is not None:
        causes += [type(cause), re.sub(r"\b[0-9a-f]{12}\b", "an address", str(cause))]
        cause = cause.__cause__ or cause.__context__
    return [*causes, getattr(error, "request", None) is request]


def see_whole(client: Any) -> list[Any]:
    try:
        response = client.post("/chat/completions", json=ASKED, headers=OWN)
    except ERRORS as error:
        return [type(error), str(error)]
    return [response.status_code, response.headers.raw, response.content, response.text, type(response.elapsed)]
