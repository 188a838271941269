"""The addresses of pages that others lead to, as `docs/pages.md` says what may stand in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

Value = str | Sequence[str] | None


def address(path: str, asked: Mapping[str, Value]) -> str:
    """A page with its filters: those that are not set are left out, and one of several values stands there for each."""
    pairs = [
        (name, text)
        for name, value in asked.items()
        for text in ([value] if isinstance(value, str) else value or ())
        if text
    ]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def call_path(event_id: str, account: str, timezone: str, listed: str | None = None) -> str:
    """The address of a call's page; `listed` is the query of the list that one comes from, to get back to."""
    return address(f"/calls/{quote(event_id, safe='')}", {"account": account, "timezone": timezone, "listed": listed})


def statement_path(account: str, month: str, end: str = "", **query: str | None) -> str:
    """The address of the page of a statement, or of what is below it: "/close", or ".pdf" and other files."""
    return address(f"/statements/{quote(account, safe='')}/{month}{end}", query)
