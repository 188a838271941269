"""The two ways in which the simulator says no: as DeepSeek does, and as itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

INVALID = "invalid_request_error"


class VendorError(Exception):
    """A refusal that DeepSeek itself would send; it becomes an HTTP answer in DeepSeek's error shape."""

    def __init__(self, status: int, message: str, kind: str = INVALID, code: str = INVALID) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code

    def as_json(self) -> dict[str, object]:
        """DeepSeek's error shape, whatever the format of the call."""
        return error_body(self.message, self.kind, self.code)


class BadInputError(ValueError):
    """A value given to the simulator itself that cannot be used; names the field, the value and the remedy."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field} {json.dumps(value, default=str)}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


def error_body(message: str, kind: str = INVALID, code: str = INVALID) -> dict[str, object]:
    """DeepSeek's `code` says invalid_request_error for nearly every kind of error."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


# Message, type and code by status, after DeepSeek's page "Error Codes". 401, 402 and 503 are worded as they were seen;
# the types of 429 and 500 are not known.
_REFUSALS: Mapping[int, tuple[str, ...]] = {
    400: ("Invalid request body format",),
    401: ("Authentication Fails (governor)", "authentication_error"),
    402: ("Insufficient Balance", "unknown_error"),
    422: ("Invalid parameters",),
    429: ("Rate limit reached, you are sending requests too quickly", "rate_limit_error"),
    500: ("The server encountered an issue", "server_error"),
    503: (
        "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
        "service_unavailable_error",
        "service_unavailable_error",
    ),
}
STATUSES = tuple(_REFUSALS)


def refusal(status: int) -> VendorError:
    """What DeepSeek says to a call that it refuses with one of STATUSES."""
    return VendorError(status, *_REFUSALS[status])


# What stands before DeepSeek's servers does not know DeepSeek's shape.
BAD_GATEWAY_PAGE = """<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
</body>
</html>
"""
