"""The two ways in which the simulator says no: as DeepSeek does, and as itself."""

from __future__ import annotations

import json

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
