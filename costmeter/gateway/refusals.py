"""What the gateway says itself, in the shape of an error of DeepSeek, so that its callers' SDKs understand it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from costmeter.gateway.targets import is_anthropic
from costmeter.recorder.call import REFUSED

Header = tuple[bytes, bytes]
Start = dict[str, Any]  # of an ASGI response
Body = dict[str, Any]

# The types that DeepSeek's and Anthropic's errors of a status have (api-docs.deepseek.com, quick_start/error_codes, and
# what was seen of both; docs.anthropic.com, api/errors).
_TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    402: ("unknown_error", "billing_error"),
    403: ("permission_error", "permission_error"),
    408: ("timeout_error", "timeout_error"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_error"),
    502: ("server_error", "api_error"),
    503: ("service_unavailable_error", "overloaded_error"),
    504: ("server_error", "timeout_error"),
}


class RefusedCallError(Exception):
    """A request that the gateway does not pass on, or that it could get no answer to.

    `code` tells a program that it was the gateway, and why: DeepSeek has none that begins with `costmeter_`.
    """

    def __init__(self, status: int, code: str, message: str, headers: Sequence[Header] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = f"costmeter_{code}"
        self.message = message
        self.headers = headers


def messages(refused: RefusedCallError, path: bytes) -> tuple[Start, Body]:
    """The messages of ASGI that answer a request at this path."""
    ours, anthropic = _TYPES[refused.status]
    if is_anthropic(path):
        said: dict[str, Any] = {"type": "error", "error": {"type": anthropic, "message": refused.message}}
    else:
        error = {"message": refused.message, "type": ours, "param": None, "code": refused.code}
        said = {"error": error}
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (REFUSED, refused.code.encode()),
        *refused.headers,
    ]
    start = {"type": "http.response.start", "status": refused.status, "headers": headers}
    return start, {"type": "http.response.body", "body": body}
