"""Budgets: which calls one counts, in which periods, and which of its thresholds its spend has crossed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

from costmeter.core.errors import InputError
from costmeter.core.events import UsageEvent
from costmeter.core.money import MAX_AMOUNT, format_amount, parse_total
from costmeter.core.periods import (
    QUARTER_MICROS,
    Period,
    day_period,
    format_instant,
    from_micros,
    quarter_of,
    to_micros,
    zone,
)

CALENDAR = ("day", "week", "month", "quarter", "year")
ALL = "all"  # one period, from the budget's start to its end
TOKENS = "tokens"  # the unit that is not a currency
ACTUAL, FORECAST = "actual", "forecast"
FILTERS = ("project", "user", "api_key", "model")  # besides tag:NAME
FIRST_START = datetime(2000, 1, 1, tzinfo=UTC)  # before it some zone's days began between quarter hours
DEFAULT_THRESHOLDS = ("80%", "100%")
BALANCE = 0  # the number that stands for an account's balance among its budgets, which begin at 1

_OWN_LENGTH = re.compile(r"([1-9]\d{0,3})([dh])", re.ASCII)
_PERCENT = re.compile(r"(\d{1,6})(?:\.(\d{1,4}))?%", re.ASCII)
_WHOLE = re.compile(r"\d{1,38}", re.ASCII)
_NAME = re.compile(r"[\w][\w .:@+-]{0,63}")


class Threshold(NamedTuple):
    """From which amount of actual or forecast spend on there is something to tell; `at` as it was written."""

    of: str
    at: str
    amount: int

    @property
    def said(self) -> str:
        """How an alert names it."""
        return self.at if self.of == ACTUAL else f"{FORECAST} {self.at}"


class Budget(NamedTuple):
    """A limit on the cost of an account's calls in units of 10^-12, or on their tokens, in each period.

    `filters` say which calls it counts; `channels` who is told (None: all). One that `stops` refuses reservations.
    """

    number: int
    name: str
    filters: Mapping[str, str]
    per: str
    timezone: str
    unit: str
    amount: int
    thresholds: Sequence[Threshold]
    stops: bool
    starts_at: datetime
    ends_at: datetime | None
    channels: Sequence[str] | None

    def matches(self, attribution: Mapping[str, str | None]) -> bool:
        """Whether it counts a call of this project, user, api_key, model and tag:NAME."""
        return all(attribution.get(name) == value for name, value in self.filters.items())

    def crosses(self, before: int, after: int) -> bool:
        """Whether spend that moves so crosses a threshold of actual spend, up or down."""
        return any((before < one.amount) != (after < one.amount) for one in self.thresholds if one.of == ACTUAL)

    def period_of(self, instant: datetime) -> Period | None:
        """The period that an instant is in: whole, but within the budget's own start and end; None outside them."""
        return self.period_at(quarter_of(instant))

    def period_at(self, quarter: int) -> Period | None:
        """The same of a quarter hour, counted since 1970."""
        return _period(self.per, self.timezone, self.starts_at, self.ends_at, quarter)


def check_name(value: object, field: str = "budget") -> str:
    """A budget's name: it begins with a letter or digit and is at most 64 of letters, digits and " .:@+-_"."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InputError(field, value, 'write 1 to 64 letters, digits, spaces or ".:@+-_", a letter or digit first')
    return value


def check_per(value: object) -> str:
    """How long a period is: day, week, month, quarter, year, all, or a number of days or hours such as 14d and 5h."""
    if isinstance(value, str) and (value in (*CALENDAR, ALL) or _OWN_LENGTH.fullmatch(value)):
        return value
    raise InputError("per", value, f"use one of {', '.join((*CALENDAR, ALL))}, or such as 14d and 5h")


def check_filters(where: Iterable[str]) -> dict[str, str]:
    """Filters written as KEY=VALUE, by key."""
    found: dict[str, str] = {}
    for text in where:
        key, equals, value = text.partition("=")
        if not equals or not value or (key not in FILTERS and not key.startswith("tag:")):
            raise InputError("where", text, f"write KEY=VALUE with a key of {', '.join(FILTERS)} or tag:NAME")
        if found.setdefault(key, value) != value:
            raise InputError("where", text, f"{key} is {found[key]} already, and no call has two; make two budgets")
    return dict(sorted(found.items()))


def parse_limit(value: object, unit: str, field: str = "amount") -> int:
    """An amount of a budget's unit: a decimal string of money, or a whole number of tokens; more than 0."""
    if unit == TOKENS:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not _WHOLE.fullmatch(value):
            raise InputError(field, value, "write a whole number of tokens")
        amount = int(value)
    else:
        amount = parse_total(value, field)
    if not 0 < amount < 10**37:
        raise InputError(field, value, "a budget is more than 0, and less than 10^25")
    return amount


def format_limit(amount: int, unit: str) -> str:
    """The amount as it is written: a decimal string, or a whole number."""
    return str(amount) if unit == TOKENS else format_amount(amount)


def parse_threshold(text: object, of: str, unit: str, limit: int) -> Threshold:
    """A threshold written as a percentage of the budget, such as "80%", or as an amount of its unit."""
    match = _PERCENT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        amount = parse_limit(text, unit, "threshold")
        return Threshold(of, format_limit(amount, unit), amount)
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    scaled = int(whole + fraction) * limit
    divisor = 100 * 10 ** len(fraction)
    if not scaled:
        raise InputError("threshold", text, "is crossed before the first call; write more than 0%")
    said = f"{int(whole)}.{fraction}%" if fraction else f"{int(whole)}%"
    return Threshold(of, said, -(-scaled // divisor))


def check_edge(instant: datetime, field: str) -> datetime:
    """An instant at which a budget may begin or end: a quarter hour, from 2000 on."""
    if instant < FIRST_START or instant.year >= 9000 or to_micros(instant) % QUARTER_MICROS:
        raise InputError(field, format_instant(instant), "write a quarter hour from 2000-01-01T00:00:00Z on")
    return instant


def first_start(per: str, timezone: str, now: datetime) -> datetime:
    """When a budget begins that does not say it: with the period of now; of hours and days, with its own first."""
    quarter = quarter_of(now)
    if per not in CALENDAR and per.endswith("h"):
        return from_micros(quarter * QUARTER_MICROS)
    start, _ = _natural(per if per in CALENDAR else "day", timezone, None, quarter)
    assert start is not None
    return start


@lru_cache(maxsize=65_536)
def _period(per: str, timezone: str, starts_at: datetime, ends_at: datetime | None, quarter: int) -> Period | None:
    """The period of a quarter hour (counted since 1970): budgets and their periods begin and end at such."""
    instant = from_micros(quarter * QUARTER_MICROS)
    if instant < starts_at or (ends_at is not None and instant >= ends_at):
        return None
    start, end = _natural(per, timezone, None if per in CALENDAR else starts_at, quarter)
    start = starts_at if start is None else max(start, starts_at)
    if ends_at is not None:
        end = ends_at if end is None else min(end, ends_at)
    return Period(start, end)


@lru_cache(maxsize=65_536)
def _natural(per: str, timezone: str, anchor: datetime | None, quarter: int) -> tuple[datetime | None, datetime | None]:
    """The whole period that a quarter hour (counted since 1970) is in; `anchor` is where those of own length begin."""
    if per == ALL:
        return None, None
    instant = from_micros(quarter * QUARTER_MICROS)
    own = _OWN_LENGTH.fullmatch(per) if anchor is not None else None
    if own and anchor and own.group(2) == "h":
        length = timedelta(hours=int(own.group(1)))
        start = anchor + (instant - anchor) // length * length
        return start, start + length
    day = instant.astimezone(zone(timezone)).date()
    if own and anchor:
        first = anchor.astimezone(zone(timezone)).date()
        length = timedelta(days=int(own.group(1)))
        begins = first + (day - first) // length * length
        return _midnight(begins, timezone), _midnight(begins + length, timezone)
    begins = _BEGINNING[per](day)
    return _midnight(begins, timezone), _midnight(_next(per, begins), timezone)


_BEGINNING: Mapping[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),  # ISO 8601: Monday
    "month": lambda day: day.replace(day=1),
    "quarter": lambda day: date(day.year, (day.month - 1) // 3 * 3 + 1, 1),
    "year": lambda day: date(day.year, 1, 1),
}


def _next(per: str, begins: date) -> date:
    if per in ("day", "week"):
        return begins + timedelta(days=1 if per == "day" else 7)
    months = {"month": 1, "quarter": 3, "year": 12}[per]
    years, month = divmod(begins.month - 1 + months, 12)
    return date(begins.year + years, month + 1, 1)


def _midnight(day: date, timezone: str) -> datetime:
    start = day_period(day, timezone).start
    assert start is not None
    return start


def balance_limit(currency: str, balance: int = 0) -> Budget:
    """An account's balance as a budget of all its calls, so that it is held back of in the same way."""
    return Budget(BALANCE, "balance", {}, ALL, "UTC", currency, balance, (), True, FIRST_START, None, None)


def room(budget: Budget, spent: int) -> int:
    """What is left of it, within 64 bits; negative where more is spent."""
    return max(-MAX_AMOUNT, min(MAX_AMOUNT, budget.amount - spent))


def crossed(budget: Budget, before: int, after: int, of: str = ACTUAL) -> tuple[list[Threshold], list[Threshold]]:
    """The thresholds that spend crossed on its way up, and those that it fell below again."""
    some = [threshold for threshold in budget.thresholds if threshold.of == of]
    up = [threshold for threshold in some if before < threshold.amount <= after]
    return up, [threshold for threshold in some if after < threshold.amount <= before]


class Group(NamedTuple):
    """The budgets of money, or those of tokens, that filter by the same keys: where these stand among the matcher's,
    and the budgets by their values of them. A single value stands by itself."""

    places: tuple[int, ...]
    of_tokens: bool
    budgets: dict[Any, list[Budget]]

    def value_of(self, values: Sequence[Any]) -> Any:
        """What a call's values of the matcher's keys are of these keys."""
        return values[self.places[0]] if len(self.places) == 1 else tuple(values[place] for place in self.places)

    def values_of(self, columns: Sequence[Sequence[Any]], count: int) -> Iterable[Any]:
        """The same of many calls."""
        if len(self.places) == 1:
            return columns[self.places[0]]
        return zip(*(columns[place] for place in self.places), strict=True) if self.places else repeat((), count)


class Matcher:
    """The budgets of an account, arranged so that those of a call are found without looking at each.

    `holds_balance` says whether its balance has been held back of; `stops` whether anything can be.
    """

    def __init__(self, budgets: Iterable[Budget], *, holds_balance: bool = False) -> None:
        self.budgets = list(budgets)
        self.holds_balance = holds_balance
        self.stops = holds_balance or any(budget.stops for budget in self.budgets)
        self.by_number = {budget.number: budget for budget in self.budgets}
        keys = {key for budget in self.budgets for key in budget.filters}
        self._tags = sorted(key.removeprefix("tag:") for key in keys if key.startswith("tag:"))
        self._attributes = [key for key in FILTERS if key in keys]
        self.keys = [*self._attributes, *(f"tag:{name}" for name in self._tags)]
        groups: dict[tuple[Any, ...], Group] = {}
        for budget in self.budgets:
            alike = tuple(place for place, key in enumerate(self.keys) if key in budget.filters), budget.unit == TOKENS
            group = groups.setdefault(alike, Group(*alike, {}))
            value = group.value_of([budget.filters.get(key) for key in self.keys])
            group.budgets.setdefault(value, []).append(budget)
        self.groups = list(groups.values())

    def values_of(self, events: Sequence[UsageEvent]) -> list[Iterable[Any]]:
        """For each group, what calls have of the keys that its budgets filter by."""
        columns = [list(map(attrgetter(name), events)) for name in self._attributes]
        columns += [[event.tags.get(name) for event in events] for name in self._tags]
        return [group.values_of(columns, len(events)) for group in self.groups]

    def matching(self, values: Sequence[str | None]) -> list[Budget]:
        """The budgets that count the calls which have these values of its keys."""
        return [budget for group in self.groups for budget in group.budgets.get(group.value_of(values), ())]


def by_period(budget: Budget, quarters: Mapping[int, int]) -> dict[Period, int]:
    """Sums of quarter hours (counted since 1970) as those of the budget's periods."""
    found: dict[Period, int] = {}
    for quarter, amount in quarters.items():
        period = budget.period_at(quarter)
        if period is not None:
            found[period] = found.get(period, 0) + amount
    return found
