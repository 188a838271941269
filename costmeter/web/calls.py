"""The calls of an account, the last that came first, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from costmeter.core.access import Grant
from costmeter.core.errors import InputError
from costmeter.core.periods import zone
from costmeter.reports.calls import STATES, Call, call_shape, list_calls
from costmeter.store import accounts
from costmeter.store.accounts import Account
from costmeter.store.scope import read_filters
from costmeter.web.access import visitor_of
from costmeter.web.addresses import Value, address
from costmeter.web.exploring import where_within
from costmeter.web.filters import LISTED, accounts_to_choose
from costmeter.web.intervals import Interval, presets
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
ROWS = 50  # of a page


class Listing(NamedTuple):
    """Which calls a page lists, as its address has them; `before` and `after` are keys of calls that it begins at."""

    account: str | None
    interval: Interval
    status: str | None
    where: Sequence[str]
    timezone: str
    before: str | None = None
    after: str | None = None

    @classmethod
    def of(cls, query: QueryParams, grant: Grant, account: Account | None) -> Listing:
        """What an address means, within what its reader may see."""
        months = Interval(*(query.get(name) or None for name in ("month", "from", "to")))
        timezone = query.get("timezone") or (account.timezone if account else "UTC")
        zone(timezone)
        where = where_within(grant, [text for text in query.getlist("where") if text])
        before, after = (query.get(name) or None for name in ("before", "after"))
        name = account.account if account else None
        return cls(name, months, query.get("status") or None, where, timezone, before, after)

    def asked(self) -> dict[str, Value]:
        """The parameters of its address; one page's place in the list is none of them."""
        chosen = {"status": self.status, "where": self.where, "timezone": self.timezone}
        return {"account": self.account, **self.interval.asked(), **chosen}

    def path(self, changed: Mapping[str, Value], path: str = "/calls") -> str:
        """The address of the list with some parameters changed, from its beginning."""
        return address(path, {**self.asked(), **changed})

    def of_interval(self, interval: Interval) -> str:
        """The address of the same list of another interval."""
        return self.path(interval.asked())

    def without(self, filter_text: str) -> str:
        """The address of the list without one of its filters."""
        return self.path({"where": [text for text in self.where if text != filter_text]})

    def here(self) -> str:
        """The query of this page of the list, to get back to from a call."""
        return self.path({"before": self.before, "after": self.after}, "").removeprefix("?")


class Paged(NamedTuple):
    """A page of a list, and the places where the pages beside it begin; None where there is none."""

    calls: Sequence[Call]
    newer: str | None
    older: str | None


@router.get("/calls")
def calls(request: Request) -> Response:
    """Calls by the filters of the address, each leading to its page."""
    visitor, site = visitor_of(request), site_of(request)
    grant, query, now = visitor.grant, request.query_params, site.now()
    with site.reading() as connection:
        seen = accounts_to_choose(connection, grant)
        account = _account(connection, grant, query.get("account") or None, seen)
        listing = Listing.of(query, grant, account)
        found = _page_of(connection, listing) if account else Paged((), None, None)
    return page(
        request,
        "calls",
        visitor=visitor,
        listing=listing,
        account=account,
        accounts=[one.account for one in seen] if len(seen) <= LISTED else (),
        has_accounts=bool(seen) or grant.projects is not None,
        calls=[call_shape(call) for call in found.calls],
        older=found.older and listing.path({"before": found.older}),
        newer=found.newer and listing.path({"after": found.newer}),
        presets=presets(now, listing.timezone, account.timezone if account else listing.timezone),
        states=STATES,
    )


def _account(connection: Connection, grant: Grant, asked: str | None, seen: Sequence[Account]) -> Account | None:
    """The account that is asked for, or the only one there is; None where one has to choose."""
    if asked is None and len(seen) != 1:
        return None
    return accounts.get(connection, grant.account(asked) or seen[0].account)


def _page_of(connection: Connection, listing: Listing) -> Paged:
    found = _listed(connection, listing)
    more = len(found) > ROWS
    if listing.after is not None:
        shown, is_newer, is_older = found[-ROWS:], more, True
    else:
        shown, is_newer, is_older = found[:ROWS], listing.before is not None, more
    if not shown:
        return Paged((), None, None)
    keys = shown[0].event_key.hex(), shown[-1].event_key.hex()
    return Paged(shown, keys[0] if is_newer else None, keys[1] if is_older else None)


def _listed(connection: Connection, listing: Listing) -> list[Call]:
    """One call more than a page has, to say that there are more."""
    assert listing.account is not None
    start, end = listing.interval.period(listing.timezone)
    return list_calls(
        connection,
        listing.account,
        status=listing.status,
        month=listing.interval.month,
        start=start,
        end=end,
        where=read_filters(listing.where),
        before=_key(listing.before, "before"),
        after=_key(listing.after, "after"),
        limit=ROWS + 1,
    )


def _key(text: str | None, name: str) -> bytes | None:
    if text is None:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise InputError(name, text, "follow the links to newer and older calls")
    return key
