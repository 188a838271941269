"""Everything costmeter raises on purpose.

CostmeterError
 +- InputError        a value that cannot be used: names the field, the value and the remedy
 |   +- PriceBookError    the same for a price book: names table, key and value
 |   +- ConflictError     the same id or reference again, with other content
 +- NoPriceError      a quote was asked for where there is no tariff or rate
 +- NotFoundError     a name that is not there
 +- ForbiddenError    what a key may not do
 +- DetachedError     calls of a month that was detached are needed
 +- NotClosableError  a month that something stands against closing
 +- FrozenError       the ledger of an account does not add up, and nothing is posted to it
 +- ServiceError      what a costmeter server or DeepSeek refuses, or that it cannot be reached
 |   +- OverBudgetError   a budget does not cover what was to be spent
 +- FullError         the database has no room for more
 +- RefusedError      a channel's receiver will never take a message
 +- UnreachableError  a channel's receiver did not take a message this time
 +- SetupError        the installation: schema, database, missing package
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from costmeter.core.secrets import without_secrets

SHOWN_LENGTH = 200  # A refused value may be a whole file; an error message is one line, and a path is seen whole.


def shown(value: object) -> str:
    """The value as one short line for an error message, without keys."""
    try:
        text = without_secrets(repr(value))
    except (ValueError, RecursionError):  # a number past Python's limit of digits, or a value nested too deep
        text = f"<{type(value).__name__}>"
    return text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH - 3]}..."


class CostmeterError(Exception):
    """Base of all errors that costmeter raises on purpose."""


class InputError(CostmeterError):
    """A value that cannot be used; the message names the field, the value and the remedy."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}" if value is None else f"{field} {shown(value)}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


class PriceBookError(InputError):
    """A price book that cannot be loaded; the message names table, key and value."""


class ConflictError(InputError):
    """The same id or reference was used before with other content."""


class NoPriceError(CostmeterError):
    """No tariff or rate for this call; it is never priced at 0 or at a neighbour's price."""


class NotFoundError(CostmeterError):
    """A name that is not in the database or the price book."""


class ForbiddenError(CostmeterError):
    """What the key of a request may not do; says what it may."""


class DetachedError(CostmeterError):
    """Calls of a month that was detached are needed; nothing is told or booked without them."""


class NotClosableError(CostmeterError):
    """A month that is not closed, since something stands against it; `blockers` say what, each with its remedy."""

    def __init__(self, account: str, month: str, blockers: Sequence[str]) -> None:
        super().__init__(f"{month} of account {account!r} is not closed: {'; '.join(blockers)}")
        self.account = account
        self.month = month
        self.blockers = list(blockers)


class FrozenError(CostmeterError):
    """The ledger of an account does not add up; nothing is posted to it until it is released."""


class FullError(CostmeterError):
    """The database has no room: what was to be written is not in it, and all that was written before is."""


class ServiceError(CostmeterError):
    """A costmeter server or DeepSeek refuses a request, or cannot be reached (`status` is None then)."""

    def __init__(
        self, message: str, *, status: int | None = None, kind: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind  # the `type` of the problem
        self.field = field


class OverBudgetError(ServiceError):
    """A budget does not cover what was to be spent; `budget` says which and how it stands, as the service writes it.

    `retry_after` is the seconds until its period ends; None where it has no end.
    """

    def __init__(self, message: str, budget: Mapping[str, Any], retry_after: int | None) -> None:
        super().__init__(message, status=402, kind="/problems/over-budget")
        self.budget = budget
        self.retry_after = retry_after


class RefusedError(CostmeterError):
    """The receiver of a channel will never take this message: it is given up at once."""


class UnreachableError(CostmeterError):
    """The receiver of a channel did not take a message this time; perhaps it asks for a pause before the next."""

    def __init__(self, message: str, *, pause: timedelta | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class SetupError(CostmeterError):
    """The installation is not ready: schema, database, or a package that is missing."""
