"""The two HTTP libraries, httpx and httpx2: what the doors need of either, without importing one.

httpx2 is httpx carried on under another name; clients, requests and transports are alike, but their classes are not.
"""

from __future__ import annotations

import functools
import logging
import sys
from typing import Any

from costmeter.recorder.call import Call
from costmeter.recorder.headers import PREFIX
from costmeter.recorder.recorder import Recorder, is_metered

logger = logging.getLogger("costmeter.recorder")


def library_of(thing: Any) -> Any:
    """The library, httpx or httpx2, that a client, a request or a response comes from; None where neither."""
    return library_of_class(thing.__class__)


@functools.cache
def library_of_class(kind: type) -> Any:
    """The library of a class, or of what it is derived from."""
    for base in reversed(kind.__mro__):  # the library's own class, not one derived from it elsewhere
        package = sys.modules.get(base.__module__.partition(".")[0])
        if hasattr(package, "SyncByteStream"):
            return package
    return None


def begin(recorder: Recorder, request: Any) -> tuple[Call | None, Any]:
    """The call that a request is, None where it is none or cannot be recorded; and the request to send in its place.

    That is the same one, unless it has headers that are costmeter's own.
    """
    sent = request
    try:
        headers = {name.lower(): value for name, value in request.headers.raw}
        if PREFIX in b"\n".join(headers):  # one search: every request is asked
            sent = without_attribution(request)
        if not is_metered(request.method, request.url.raw_path):
            return None, sent
        return recorder.begin(_content(request), headers), sent
    except Exception:
        logger.exception("a call could not be recorded")
        return None, sent


def lowered(headers: Any) -> dict[bytes, bytes]:
    """Headers by their names in lower case."""
    return {name.lower(): value for name, value in headers.raw}


def without_attribution(request: Any) -> Any:
    """A copy without costmeter's own headers; the caller's stays as it was, for redirects and authentication."""
    sent = object.__new__(type(request))  # no constructor takes everything over, and copy.copy() loses the body
    vars(sent).update(vars(request))
    sent.headers = type(request.headers)(
        [pair for pair in request.headers.raw if not pair[0].lower().startswith(PREFIX)]
    )
    return sent


def _content(request: Any) -> bytes | None:
    """The request's body where it is in memory; one that is still to be produced is left alone."""
    try:
        content: bytes = request.content
    except library_of(request).RequestNotRead:
        library = library_of(request)
        # A redirected request has its body only as a stream, which can be read again where it is plain bytes.
        return b"".join(request.stream) if isinstance(request.stream, library.ByteStream) else None
    return content
