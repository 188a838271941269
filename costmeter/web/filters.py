"""The filters of a page: they live in its address, and choose within what its reader may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from urllib.parse import urlencode

from sqlalchemy import Connection

from costmeter.core.access import Grant
from costmeter.core.errors import InputError
from costmeter.core.money import check_currency
from costmeter.core.periods import zone
from costmeter.reports.asked import projects_within
from costmeter.reports.overview import GROUPS, View
from costmeter.store import accounts
from costmeter.store.accounts import Account

LISTED = 200  # accounts that a list lets one choose from; of more, one types the name


class Asked(NamedTuple):
    """The filters as an address has them; an empty one is none."""

    account: str | None = None
    currency: str | None = None
    project: str | None = None
    timezone: str | None = None
    day: str | None = None
    by: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """The filters of an address; what else it has is none of ours."""
        return cls(*(query.get(name) or None for name in cls._fields))


class Choices(NamedTuple):
    """What there is to choose from; where there is one of something there is nothing to choose."""

    accounts: Sequence[str]
    currencies: Sequence[str]
    projects: Sequence[str]
    timezones: Sequence[str]
    has_all_accounts: bool
    today: str


class Filters(NamedTuple):
    """What a page is of, what else it could be of, and its address."""

    view: View
    choices: Choices

    def query(self, **changed: str | None) -> str:
        """The address of the page with some filters changed; filters that are not set are left out."""
        view = self.view
        set_now = {"account": view.account, "project": view.project, "timezone": view.timezone}
        set_now |= {"currency": view.currency, "day": view.day.isoformat(), "by": view.by}
        return urlencode({name: value for name, value in (set_now | changed).items() if value})


def filters_of(connection: Connection, grant: Grant, asked: Asked, now: datetime) -> Filters:
    """The filters that are meant. Who may see several accounts or projects, but not all, sees the first at first.

    Raises ForbiddenError for what the reader may not see, InputError and NotFoundError for what is no such thing.
    """
    meant = meant_accounts(connection, grant, asked.account, asked.currency)
    project = meant_project(grant, asked.project)
    timezone = asked.timezone or accounts.shared_zone(meant.in_scope)
    today = now.astimezone(zone(timezone)).date()
    view = View(
        account=meant.account,
        currency=meant.currency,
        project=project,
        timezone=timezone,
        day=_day(asked.day, today),
        by=_by(asked.by),
        names=grant.accounts,
        may_see_accounts=grant.projects is None,
    )
    choices = Choices(
        accounts=meant.to_choose,
        currencies=meant.currencies,
        projects=sorted(grant.projects or ()),
        timezones=zones_to_choose(grant, timezone, meant.mine),
        has_all_accounts=grant.accounts is None,
        today=today.isoformat(),
    )
    return Filters(view, choices)


class MeantAccounts(NamedTuple):
    """The accounts that a page is of: `account` where it is one, `in_scope` all of the currency that is meant."""

    to_choose: Sequence[str]
    account: str | None
    currency: str | None
    mine: Sequence[Account]  # of every currency

    @property
    def currencies(self) -> list[str]:
        return sorted({one.currency for one in self.mine})

    @property
    def in_scope(self) -> list[Account]:
        return [one for one in self.mine if one.currency == self.currency]


def meant_accounts(connection: Connection, grant: Grant, account: str | None, currency: str | None) -> MeantAccounts:
    """The accounts that are meant by the account and currency asked for, within what the reader may see."""
    seen = accounts_to_choose(connection, grant)
    account = meant_account(grant, account, seen)
    mine = [accounts.get(connection, account)] if account is not None else accounts.listed(connection, grant.accounts)
    to_choose = [one.account for one in seen] if len(seen) <= LISTED else ()
    return MeantAccounts(to_choose, account, meant_currency(mine, currency, is_one=account is not None), mine)


def accounts_to_choose(connection: Connection, grant: Grant) -> list[Account]:
    """The accounts that a reader is told to choose from, at most LISTED + 1; who sees some projects of all accounts is
    told none."""
    if grant.accounts is None and grant.projects is not None:
        return []
    return accounts.listed(connection, grant.accounts, limit=None if grant.accounts else LISTED + 1)


def zones_to_choose(grant: Grant, timezone: str, mine: Sequence[Account]) -> list[str]:
    """The time zones that a reader is told to choose from: those of their accounts among them."""
    own = () if grant.projects is not None else (one.timezone for one in mine)
    return sorted({"UTC", "Asia/Shanghai", timezone, *own})


def meant_account(grant: Grant, asked: str | None, seen: Sequence[Account]) -> str | None:
    if asked is None and grant.accounts is not None:
        existing = [one.account for one in seen]
        asked = existing[0] if existing else min(grant.accounts)
    return grant.account(asked)


def meant_project(grant: Grant, asked: str | None) -> str | None:
    if asked is None and grant.projects is not None:
        asked = min(grant.projects)
    where = projects_within(grant, None if asked is None else [f"project={asked}"])
    return where[0].partition("=")[2] if where else None


def meant_currency(mine: Sequence[Account], asked: str | None, *, is_one: bool) -> str | None:
    """One currency: that of the account, or the one asked for, or of those there are the first; never a sum of two."""
    if asked is not None:
        check_currency(asked)
    found = sorted({one.currency for one in mine}, reverse=True)
    if asked is not None and not is_one:
        return asked
    return found[0] if found else None


def _day(asked: str | None, today: date) -> date:
    if asked is None:
        return today
    try:
        day = date.fromisoformat(asked)
    except ValueError:
        raise InputError("day", asked, "write a day as YYYY-MM-DD") from None
    if not date(2000, 1, 1) <= day <= today:
        raise InputError("day", asked, f"choose a day from 2000-01-01 to today, {today.isoformat()}")
    return day


def _by(asked: str | None) -> str:
    if asked is not None and asked not in GROUPS:
        raise InputError("by", asked, f"use one of {', '.join(GROUPS)}")
    return asked or GROUPS[0]
