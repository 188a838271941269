"""What Explore is asked for: its address, the question that means, and the addresses that lead on from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from costmeter.core.access import Grant
from costmeter.core.periods import format_instant, month_of, parse_instant, zone
from costmeter.reports.asked import projects_within, scope_of
from costmeter.reports.explore import Question, tag_names
from costmeter.reports.explore_chart import TIMES
from costmeter.store import accounts
from costmeter.store.accounts import Account
from costmeter.web.addresses import Value, address
from costmeter.web.filters import meant_accounts, zones_to_choose
from costmeter.web.intervals import Interval, days_of, presets, within

BY = ("day", "model")  # where nothing else is asked for
NEXT = ("model", "project", "band", "api_key", "user")  # what a narrowed page is by: the first that it is not of


class Asked(NamedTuple):
    """The filters as an address has them; an empty one is none."""

    interval: Interval
    where: Sequence[str]
    by: Sequence[str]
    account: str | None = None
    currency: str | None = None
    timezone: str | None = None
    metric: str | None = None
    sort: str | None = None

    @classmethod
    def of(cls, query: QueryParams) -> Asked:
        """The filters of an address; what else it has is none of ours. `by` may be a list, or stand there for each."""
        where = [text for text in query.getlist("where") if text]
        by = [name for text in query.getlist("by") for name in text.split(",") if name]
        interval = Interval(*(query.get(name) or None for name in ("month", "from", "to")))
        others = (query.get(name) or None for name in ("account", "currency", "timezone", "metric", "sort"))
        return cls(interval, where, by, *others)


class Choices(NamedTuple):
    """What there is to choose from; where there is one of something there is nothing to choose."""

    accounts: Sequence[str]
    currencies: Sequence[str]
    timezones: Sequence[str]
    tags: Sequence[str]
    presets: Mapping[str, Interval]
    days: Interval
    has_all_accounts: bool


class Exploring(NamedTuple):
    """What the page is of, what else it could be of, and where it leads."""

    question: Question
    interval: Interval
    account: str | None
    where: Sequence[str]
    choices: Choices
    sort: str | None

    def asked(self) -> dict[str, Value]:
        """The parameters of its address."""
        question = self.question
        return {
            **self.interval.asked(),
            "account": self.account,
            "currency": question.scope.currency,
            "where": self.where,
            "by": ",".join(question.by),
            "timezone": question.timezone,
            "metric": question.metric,
            "sort": self.sort,
        }

    def path(self, changed: Mapping[str, Value], path: str = "/explore") -> str:
        """The address of the page with some parameters changed."""
        return address(path, {**self.asked(), **changed})

    def of_interval(self, interval: Interval) -> str:
        """The address of the same page of another interval."""
        return self.path(interval.asked())

    def without(self, filter_text: str) -> str:
        """The address of the page without one of its filters."""
        return self.path({"where": [text for text in self.where if text != filter_text]})

    def narrowed(self, row: Mapping[str, Any]) -> str | None:
        """The address of what a row sums, by what it is not of yet; None where no filter says what a row is of."""
        found = self._of_row(row)
        if found is None:
            return None
        by = [*_times_within(self.question.by), *self._next(found)]
        return self.path({**found, "by": ",".join(by), "sort": None})

    def calls(self, row: Mapping[str, Any]) -> str | None:
        """The address of the calls that a row sums."""
        found = self._of_row(row)
        return None if found is None else address("/calls", self._listing() | found)

    def all_calls(self, **more: str) -> str:
        """The address of the calls that the page is of."""
        return address("/calls", self._listing() | more)

    def _listing(self) -> dict[str, Value]:
        asked = self.asked()
        return {name: asked[name] for name in ("account", "month", "from", "to", "where", "timezone")}

    def _of_row(self, row: Mapping[str, Any]) -> dict[str, Value] | None:
        """The parameters that narrow the page to a row."""
        found: dict[str, Value] = {}
        where = dict(text.partition("=")[::2] for text in self.where)
        for name in self.question.by:
            if name in TIMES:
                found |= self._time_of(row).asked()
            elif row[name] is None or "=" in name:
                return None
            elif name == "account":
                found["account"] = row[name]
            else:
                where[name] = row[name]
        return found | {"where": [f"{name}={value}" for name, value in where.items()]}

    def _time_of(self, row: Mapping[str, Any]) -> Interval:
        """The hour or day of a row, as far as the page is of it."""
        question = self.question
        if "hour" in question.by:
            start = parse_instant(row["hour"])
            found = Interval(None, *(format_instant(edge) for edge in (start, start + timedelta(hours=1))))
        else:
            found = Interval(None, row["day"], row["day"])
        period = question.scope.period
        return found if period is None else within(found, period, question.timezone)

    def _next(self, found: Mapping[str, Value]) -> list[str]:
        filtered = {text.partition("=")[0] for text in found["where"] or ()}
        return [name for name in NEXT if name not in filtered][:1]


def exploring(connection: Connection, grant: Grant, asked: Asked, now: datetime) -> Exploring:
    """What an address means, within what its reader may see; of several accounts or projects, but not all, the first.

    Raises ForbiddenError for what the reader may not see, InputError and NotFoundError for what is no such thing.
    """
    meant = meant_accounts(connection, grant, asked.account, asked.currency)
    where = where_within(grant, asked.where)
    billing_zone = accounts.shared_zone(meant.in_scope)
    timezone = asked.timezone or billing_zone
    zone(timezone)
    interval = asked.interval if any(asked.interval) else Interval(month_of(now, billing_zone))
    start, end = (None if one is None else format_instant(one) for one in interval.period(timezone))
    scope = scope_of(
        month=interval.month, start=start, end=end, account=meant.account, currency=meant.currency, where=where
    )
    by = asked.by or BY
    question = Question.checked(scope, by=by, timezone=timezone, metric=asked.metric or "cost", sort=asked.sort)
    choices = Choices(
        accounts=meant.to_choose,
        currencies=meant.currencies,
        timezones=zones_to_choose(grant, timezone, meant.mine),
        tags=_tags(connection, meant.in_scope, scope.where.get("project"), by),
        presets=presets(now, timezone, billing_zone),
        days=days_of(scope.interval(billing_zone), now, timezone),
        has_all_accounts=grant.accounts is None,
    )
    return Exploring(question, interval, meant.account, where, choices, asked.sort)


def where_within(grant: Grant, asked: Sequence[str]) -> list[str]:
    """The filters that are asked for, within what the reader may see; of several projects the first.

    One that is asked for anew stands for the one before.
    """
    asked = [*{text.partition("=")[0]: text for text in asked}.values()]
    if grant.projects is not None and not any(text.startswith("project=") for text in asked):
        asked = [*asked, f"project={min(grant.projects)}"]
    return projects_within(grant, asked)


def _tags(connection: Connection, in_scope: Sequence[Account], project: str | None, by: Sequence[str]) -> list[str]:
    """The dimensions that are tags: those of the latest calls, and those that are asked for."""
    found = [f"tag:{name}" for name in tag_names(connection, in_scope, project) if "," not in name]
    return sorted({*found, *(name for name in by if name.startswith("tag:"))})


def _times_within(by: Sequence[str]) -> list[str]:
    """What time a row of these dimensions is told apart by: its days, or where it is of a day its hours."""
    return [] if "hour" in by else ["hour"] if "day" in by else ["day"]
