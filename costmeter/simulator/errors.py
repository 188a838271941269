"""The two ways in which the simulator says no: as DeepSeek does, and as itself."""

from __future__ import annotations

import json


class VendorError(Exception):
    """A refusal that DeepSeek itself would send; it becomes an HTTP answer in DeepSeek's error shape."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


class BadInputError(ValueError):
    """A value given to the simulator itself that cannot be used; names the field, the value and the remedy."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field} {json.dumps(value, default=str)}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


def error_body(message: str, kind: str = "invalid_request_error") -> dict[str, object]:
    """DeepSeek's error shape; its `code` says invalid_request_error for every kind of error."""
    return {"error": {"message": message, "type": kind, "param": None, "code": "invalid_request_error"}}
