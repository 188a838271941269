"""What is watched by the clock: what an alert needs to be raised, to go on standing, and to recover.

A rule reads one thing against one threshold. It raises at the threshold and recovers only beyond a margin, so that what
goes to and fro around the threshold is told once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from costmeter.core.errors import InputError
from costmeter.core.events import digest
from costmeter.core.money import check_currency, format_amount, parse_amount

MARGIN = 10  # percent of a threshold that must be regained before it counts as recovered
LONGEST_RULE = 64  # characters: what the table of alerts keeps

LOW_BALANCE, EXPIRING_GRANT, NO_DATA, PRICE_CHANGE = "low_balance", "expiring_grant", "no_data", "price_change"
UNPRICED, QUARANTINE, UNMETERED, DIFFERENCE = "unpriced", "quarantine", "unmetered", "difference"
UNPOSTED, FROZEN, SCHEDULER, JOB, CALENDAR = "unposted", "frozen", "scheduler", "job", "calendar"
KINDS = (
    LOW_BALANCE, EXPIRING_GRANT, NO_DATA, PRICE_CHANGE, UNPRICED, QUARANTINE, UNMETERED, DIFFERENCE, UNPOSTED, FROZEN,
    SCHEDULER, JOB, CALENDAR,
)  # fmt: skip


class LowBalance(NamedTuple):
    """A balance that is too low: an amount in units of 10^-12, of accounts in a currency."""

    amount: int
    currency: str


class Thresholds(NamedTuple):
    """The thresholds of every rule; what is empty, 0 or False is not watched."""

    low_balance: tuple[LowBalance, ...] = (LowBalance(10**12, "USD"), LowBalance(10**13, "CNY"))
    overdrawn: bool = True
    runway_days: int = 3
    grant_days: tuple[int, ...] = (7, 1)
    no_data_hours: int = 24
    price_days: int = 7
    calendar_days: int = 60
    unpriced: int = 1
    quarantine: int = 1
    unmetered: int = 100
    unmetered_percent: int = 5
    difference: bool = True
    unposted_minutes: int = 15
    frozen: bool = True
    scheduler_minutes: int = 15
    jobs: bool = True


class Reading(NamedTuple):
    """What one rule sees against one threshold: whether that raises an alert, and whether it keeps one that stands.

    `time` is the period of what is told once for good, such as a grant; None is told again whenever it is so again.
    """

    kind: str
    rule: str
    threshold: str
    raises: bool
    keeps: bool
    facts: dict[str, Any]
    time: str | None = None


class Stands(NamedTuple):
    """An alert that stands: its kind and what names it, and the facts that it was raised with."""

    kind: str
    rule: str
    period: str
    threshold: str
    facts: Mapping[str, Any]


class Changes(NamedTuple):
    """What is to be raised, and what is to recover, each with its facts."""

    raised: list[Reading]
    recovered: list[tuple[Stands, dict[str, Any]]]

    def __bool__(self) -> bool:
        return bool(self.raised or self.recovered)


def changes(readings: Iterable[Reading], standing: Sequence[Stands], unknown: Collection[str] = ()) -> Changes:
    """How what stands becomes what should stand; kinds of which nothing is known are left as they are.

    An alert that no rule reads any more recovers with the facts that it was raised with: its grant is gone, its price
    change has come, or its threshold was taken out of the settings.
    """
    left = {(one.rule, one.threshold, one.period): one for one in standing if one.kind not in unknown}
    found = Changes([], [])
    for reading in readings:
        mine = [key for key in left if key[:2] == (reading.rule, reading.threshold) and reading.time in (None, key[2])]
        if not mine and reading.raises:
            found.raised.append(reading)
        for key in mine:
            one = left.pop(key)
            if not (reading.keeps or reading.raises):
                found.recovered.append((one, reading.facts))
    found.recovered.extend((one, dict(one.facts)) for one in left.values())
    return found


def rule_of(kind: str, what: str) -> str:
    """The rule that is about one thing; a name that is too long is told by its digest."""
    rule = f"{kind} {what}"
    return rule if len(rule) <= LONGEST_RULE else f"{kind} {digest([what]).hex()}"


def has_passed(since: timedelta, limit: timedelta) -> tuple[bool, bool]:
    """Whether something has lasted for so long that it raises an alert, and that it keeps one."""
    return since >= limit, since * 100 >= limit * (100 - MARGIN)


def is_below(value: int, limit: int) -> tuple[bool, bool]:
    """Whether a value is so low that it raises an alert, and that it keeps one."""
    return value < limit, value * 100 < limit * (100 + MARGIN)


def is_above(value: int, limit: int) -> tuple[bool, bool]:
    """Whether a value is so high that it raises an alert, and that it keeps one."""
    return value > limit, value * 100 > limit * (100 - MARGIN)


def parse_low_balances(text: str, field: str) -> tuple[LowBalance, ...]:
    """The amounts of a setting such as "1.00 USD, 10.00 CNY"; none where it is 0."""
    if text.strip() == "0":
        return ()
    found = []
    for part in text.split(","):
        amount, _, currency = part.strip().partition(" ")
        try:
            low = LowBalance(parse_amount(amount), check_currency(currency.strip()))
        except InputError:
            low = LowBalance(0, "")
        if low.amount <= 0:
            raise InputError(field, text, 'write amounts above 0 such as "1.00 USD, 10.00 CNY", or 0 for none')
        found.append(low)
    return tuple(sorted(set(found)))


def parse_days(text: str, field: str) -> tuple[int, ...]:
    """The days of a setting such as "7, 1", the most first; none where it is 0."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        raise InputError(field, text, 'write days such as "7, 1", or 0 for none')
    return tuple(sorted({int(part) for part in parts} - {0}, reverse=True))


def amount_and_currency(low: LowBalance) -> str:
    return f"{format_amount(low.amount)} {low.currency}"
