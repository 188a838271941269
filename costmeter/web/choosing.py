"""The account that a page is of, where it is of one: a page of balances and books has no projects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from costmeter.core.access import Grant
from costmeter.core.errors import ForbiddenError
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.periods import zone
from costmeter.store import accounts
from costmeter.store.accounts import Account
from costmeter.web.filters import LISTED


class Chosen(NamedTuple):
    """An account, the others that there are to choose from (none where there are too many), and a clock to show.

    `account` is None where there is none yet.
    """

    account: Account | None
    accounts: Sequence[str]
    timezone: str


def choose_account(connection: Connection, grant: Grant, account: str | None, timezone: str | None = None) -> Chosen:
    """The account that is asked for, else `default` or the first that the reader may see.

    Raises ForbiddenError where the reader may not see whole accounts, or not this one, NotFoundError where there is no
    such account, and InputError for a time zone that is none.
    """
    seen = accounts.listed(connection, grant.accounts, limit=None if grant.accounts else LISTED + 1)
    names = [one.account for one in seen]
    meant = account or (DEFAULT_ACCOUNT if DEFAULT_ACCOUNT in names or not names else names[0])
    if account or grant.projects is not None:
        grant.whole_account(meant)
    own = accounts.get(connection, meant) if account or names else None
    shown = timezone or (own.timezone if own else "UTC")
    zone(shown)
    return Chosen(own, names if len(names) <= LISTED else (), shown)


def listed_account(grant: Grant, asked: str | None) -> str | None:
    """The account that a list of whole accounts' things is of; None is all. Who has several sees the first at first.

    Raises ForbiddenError where the reader sees some projects only, or has not the account that is asked for.
    """
    if grant.projects is not None:
        raise ForbiddenError(f"{grant.who} sees some projects only, not what whole accounts have")
    if not asked and grant.accounts is not None:
        asked = min(grant.accounts)
    return grant.account(asked or None)
