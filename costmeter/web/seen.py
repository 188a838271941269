"""The accounts that a page is of, where it may be of several: all that its reader may see, or the one asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from sqlalchemy import Connection

from costmeter.core.access import Grant
from costmeter.core.errors import InputError
from costmeter.core.periods import zone
from costmeter.store import accounts
from costmeter.web.filters import LISTED

MOST_PAGES = 10_000


class Seen(NamedTuple):
    """The account that is asked for, the names that are meant (None: all there are), and a clock to show.

    `accounts` are there to choose from, none where there are too many.
    """

    account: str | None
    names: Sequence[str] | None
    accounts: Sequence[str]
    timezone: str

    def query(self, **changed: str | int | None) -> str:
        """An address's query with these filters and others; what is not set is left out."""
        said = {"account": self.account, "timezone": self.timezone} | changed
        return urlencode({name: value for name, value in said.items() if value is not None})


def accounts_seen(connection: Connection, grant: Grant, account: str | None, timezone: str | None) -> Seen:
    """What is meant by an account and a time zone, each perhaps empty.

    Raises ForbiddenError for what the reader may not see, NotFoundError and InputError for what is no such thing.
    """
    names = grant.whole_accounts(account or None)
    listed = accounts.listed(connection, grant.accounts, limit=None if grant.accounts else LISTED + 1)
    own = accounts.get(connection, account) if account else None
    shown = timezone or accounts.shared_zone(listed if own is None else [own])
    zone(shown)
    choices = [one.account for one in listed] if len(listed) <= LISTED else []
    return Seen(own.account if own else None, [own.account] if own else names, choices, shown)


def page_number(text: str | None) -> int:
    """Which page of a list is asked for, from 1 on."""
    if not text:
        return 1
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MOST_PAGES):
        raise InputError("page", text, f"write a whole number from 1 to {MOST_PAGES}")
    return int(text)
