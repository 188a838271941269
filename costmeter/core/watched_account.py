"""What is watched of an account: what was seen of it, and what each rule reads there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from costmeter.core.ledger import GRANTED
from costmeter.core.money import format_amount
from costmeter.core.notices import counted
from costmeter.core.periods import format_instant
from costmeter.core.price_changes import PriceChange, changed_rates
from costmeter.core.watch import (
    DIFFERENCE,
    EXPIRING_GRANT,
    FROZEN,
    LOW_BALANCE,
    NO_DATA,
    PRICE_CHANGE,
    QUARANTINE,
    UNMETERED,
    UNPOSTED,
    UNPRICED,
    Reading,
    Thresholds,
    amount_and_currency,
    has_passed,
    is_above,
    is_below,
    rule_of,
)

DAY = timedelta(days=1)
MEAN_DAYS = 7  # whole days before today that the mean spend of a day is taken from
DAILY = 7  # days in a row with calls that make silence worth telling
LEAST_CALLS = 20  # of a day, from which on a share of unmetered calls says something


class Holding(NamedTuple):
    """A credit that has something left; `left` in units of 10^-12."""

    credit_id: int
    kind: str
    left: int
    effective_at: datetime
    expires_at: datetime | None
    reference: str | None


class Unpriced(NamedTuple):
    """Calls of a model without a price, and the day of the first, in the account's time zone."""

    model: str
    calls: int
    since: str


class Items(NamedTuple):
    """What is open in quarantine of one kind, and since when."""

    kind: str
    items: int
    since: datetime


class Waiting(NamedTuple):
    """Calls that wait to be posted, and when the first of them was received."""

    calls: int
    since: datetime


class Differing(NamedTuple):
    """How many open differences there are to DeepSeek's balance; of the newest, number, instant and amounts."""

    differences: int
    number: int
    observed_at: datetime
    granted: int
    topped_up: int


class Seen(NamedTuple):
    """What is so with an account. `spent` is the cost of the seven whole days before today.

    What the rollups tell (`spent`, `models`, `is_daily`, `unpriced`) is not known while they are not kept.
    """

    account: str
    currency: str
    is_tracked: bool = False
    holdings: Sequence[Holding] = ()
    overdraft: int = 0
    has_rollups: bool = True
    spent: int = 0
    models: frozenset[str] = frozenset()  # that calls of the last 30 days were of, where a price will change
    is_daily: bool = False  # calls came on seven days in a row, and since then a week has not passed
    last_call: datetime | None = None  # of an account with calls each day, or of whose silence was told
    unpriced: Sequence[Unpriced] = ()
    items: Sequence[Items] = ()
    unmetered: int = 0  # of the last 24 hours
    measured: int = 0  # likewise; asked for where there are unmetered ones, or were
    differing: Differing | None = None
    waiting: Waiting | None = None
    frozen_at: datetime | None = None
    frozen_for: str = ""


BY_ROLLUPS = (NO_DATA, PRICE_CHANGE, UNPRICED, UNMETERED)


def account_readings(
    seen: Seen, changes: Sequence[PriceChange], thresholds: Thresholds, now: datetime
) -> list[Reading]:
    """What each rule reads of an account; `changes` are those of the price book that are ahead, in its currency."""
    return [
        *_low_balance(seen, thresholds, now),
        *_expiring_grants(seen, thresholds, now),
        *_no_data(seen, thresholds, now),
        *_price_changes(seen, changes, thresholds),
        *_unpriced(seen, thresholds),
        *quarantine(seen.items, thresholds),
        *_unmetered(seen, thresholds),
        *_difference(seen, thresholds),
        *_unposted(seen, thresholds, now),
        *_frozen(seen, thresholds),
    ]


def _low_balance(seen: Seen, thresholds: Thresholds, now: datetime) -> Iterator[Reading]:
    """Overdrawn, below amounts, and below days of the mean spend; of what is passed at once the lowest is told."""
    if not seen.is_tracked:
        return
    counting = [one for one in seen.holdings if one.effective_at <= now and (one.expires_at or now + DAY) > now]
    granted = sum(one.left for one in counting if one.kind == GRANTED)
    topped_up = sum(one.left for one in counting if one.kind != GRANTED) - seen.overdraft
    total = granted + topped_up
    parts = {"balance": total, "granted": granted, "topped_up": topped_up}
    facts = {"currency": seen.currency, **{name: format_amount(amount) for name, amount in parts.items()}}
    if thresholds.overdrawn:
        yield Reading(LOW_BALANCE, LOW_BALANCE, "overdrawn", total < 0, total < 0, facts)
    is_told = thresholds.overdrawn and total < 0
    for low in sorted(one for one in thresholds.low_balance if one.currency == seen.currency):
        raises, keeps = is_below(total, low.amount)
        yield Reading(LOW_BALANCE, LOW_BALANCE, amount_and_currency(low), raises and not is_told, keeps, facts)
        is_told = is_told or raises
    if thresholds.runway_days:
        yield _runway(seen, total, thresholds.runway_days, facts)


def _runway(seen: Seen, total: int, days: int, facts: Mapping[str, Any]) -> Reading:
    """The days of balance left at the mean spend; a balance of which nothing is left is told by its amount."""
    threshold, more = counted(days, "day"), {"spent": format_amount(seen.spent), "of_days": MEAN_DAYS}
    if not seen.has_rollups:  # what is not known stays as it is
        return Reading(LOW_BALANCE, LOW_BALANCE, threshold, False, True, {})
    if seen.spent <= 0:
        return Reading(LOW_BALANCE, LOW_BALANCE, threshold, False, False, {**facts, **more, "days_left": None})
    raises, keeps = is_below(total * MEAN_DAYS, days * seen.spent)
    tenths = max(total, 0) * MEAN_DAYS * 10 // seen.spent
    more["days_left"] = f"{tenths // 10}.{tenths % 10}"
    return Reading(LOW_BALANCE, LOW_BALANCE, threshold, raises and total > 0, keeps, {**facts, **more})


def _expiring_grants(seen: Seen, thresholds: Thresholds, now: datetime) -> Iterator[Reading]:
    """Each grant once for each number of days; of what is passed at once the fewest days are told."""
    for one in seen.holdings:
        if one.kind != GRANTED or one.expires_at is None or one.expires_at <= now:
            continue
        facts = {"credit": one.credit_id, "currency": seen.currency, "left": format_amount(one.left)}
        facts |= {"expires_at": format_instant(one.expires_at), "reference": one.reference}
        passed = [days for days in thresholds.grant_days if one.expires_at - now <= days * DAY]
        for days in passed:
            rule = rule_of(EXPIRING_GRANT, str(one.credit_id))
            yield Reading(EXPIRING_GRANT, rule, counted(days, "day"), days == min(passed), True, facts, "1")


def _no_data(seen: Seen, thresholds: Thresholds, now: datetime) -> Iterator[Reading]:
    """No call for hours, where calls came on seven days in a row: who pauses each week is never told of."""
    if not thresholds.no_data_hours or not seen.has_rollups:
        return
    if seen.last_call is None:  # not asked for, or its month is detached: silence goes on
        yield Reading(NO_DATA, NO_DATA, counted(thresholds.no_data_hours, "hour"), False, True, {})
        return
    raises, keeps = has_passed(now - seen.last_call, timedelta(hours=thresholds.no_data_hours))
    facts = {"last_call": format_instant(seen.last_call)}
    yield Reading(NO_DATA, NO_DATA, counted(thresholds.no_data_hours, "hour"), raises and seen.is_daily, keeps, facts)


def _price_changes(seen: Seen, changes: Sequence[PriceChange], thresholds: Thresholds) -> Iterator[Reading]:
    """Each tariff that begins or ends soon, once, for the models that the account used."""
    if not thresholds.price_days or not seen.has_rollups:
        return
    by_tariff: dict[tuple[datetime, str], list[PriceChange]] = {}
    for change in changes:
        if change.names & seen.models:
            by_tariff.setdefault((change.at, change.tariff_id), []).append(change)
    for (at, tariff), found in by_tariff.items():
        facts = {"from": format_instant(at), "currency": seen.currency, **_prices(found, seen)}
        rule, threshold = rule_of(PRICE_CHANGE, tariff), counted(thresholds.price_days, "day")
        yield Reading(PRICE_CHANGE, rule, threshold, True, True, facts, format_instant(at))


def _prices(changes: Sequence[PriceChange], seen: Seen) -> dict[str, Any]:
    """What models are billed by until then, which may be several tariffs, and by what from then on."""
    after, models = changes[0].after, {name for change in changes for name in change.names & seen.models}
    rates = [
        {"before": change.before.tariff_id if change.before else None, **rate}
        for change in changes
        for rate in changed_rates(change, seen.currency)
    ]
    return {"models": sorted(models), "after": after.tariff_id if after else None, "rates": rates}


def _unpriced(seen: Seen, thresholds: Thresholds) -> Iterator[Reading]:
    if not thresholds.unpriced or not seen.has_rollups:
        return
    calls = sum(one.calls for one in seen.unpriced)
    facts: dict[str, Any] = {"calls": calls, "models": sorted(one.model for one in seen.unpriced)}
    facts |= {"since": min((one.since for one in seen.unpriced), default=None)}
    yield Reading(
        UNPRICED, UNPRICED, counted(thresholds.unpriced, "call"), calls >= thresholds.unpriced, calls > 0, facts
    )


def quarantine(items: Sequence[Items], thresholds: Thresholds) -> Iterator[Reading]:
    """What is open in quarantine, conflicts apart, since the first of a conflict is booked."""
    if not thresholds.quarantine:
        return
    count, since = sum(one.items for one in items), min((one.since for one in items), default=None)
    facts: dict[str, Any] = {"items": count, "kinds": {one.kind: one.items for one in items}}
    facts |= {"since": format_instant(since) if since else None}
    threshold = counted(thresholds.quarantine, "item")
    yield Reading(QUARANTINE, QUARANTINE, threshold, count >= thresholds.quarantine, count > 0, facts)


def _unmetered(seen: Seen, thresholds: Thresholds) -> Iterator[Reading]:
    """Too many of the last 24 hours' calls, or too large a share of them; where it is both, the number is told."""
    if not seen.has_rollups:
        return
    calls = seen.unmetered + seen.measured
    tenths = seen.unmetered * 1000 // calls if calls else 0
    facts = {"calls": seen.unmetered, "of_calls": calls, "percent": f"{tenths // 10}.{tenths % 10}"}
    is_told = False
    if thresholds.unmetered:
        is_told, keeps = is_above(seen.unmetered, thresholds.unmetered)
        yield Reading(UNMETERED, UNMETERED, counted(thresholds.unmetered, "call"), is_told, keeps, facts)
    if thresholds.unmetered_percent:
        raises, keeps = is_above(seen.unmetered * 100, thresholds.unmetered_percent * calls)
        raises = raises and calls >= LEAST_CALLS and not is_told
        yield Reading(UNMETERED, UNMETERED, f"{thresholds.unmetered_percent} percent", raises, keeps, facts)


def _difference(seen: Seen, thresholds: Thresholds) -> Iterator[Reading]:
    if not thresholds.difference:
        return
    facts: dict[str, Any] = {"differences": 0, "currency": seen.currency}
    if (one := seen.differing) is not None:
        facts |= {
            "differences": one.differences,
            "observation": one.number,
            "observed_at": format_instant(one.observed_at),
        }
        parts = {"difference": one.granted + one.topped_up, "granted": one.granted, "topped_up": one.topped_up}
        facts |= {name: format_amount(amount) for name, amount in parts.items()}
    yield Reading(DIFFERENCE, DIFFERENCE, "open", one is not None, one is not None, facts)


def _unposted(seen: Seen, thresholds: Thresholds, now: datetime) -> Iterator[Reading]:
    """Calls that wait too long for their charge; those of a frozen account wait for its release, which is told of."""
    if not thresholds.unposted_minutes:
        return
    facts: dict[str, Any] = {"calls": 0, "since": None}
    raises = keeps = False
    if seen.waiting is not None:
        facts = {"calls": seen.waiting.calls, "since": format_instant(seen.waiting.since)}
        raises, keeps = has_passed(now - seen.waiting.since, timedelta(minutes=thresholds.unposted_minutes))
    raises = raises and seen.frozen_at is None
    yield Reading(UNPOSTED, UNPOSTED, counted(thresholds.unposted_minutes, "minute"), raises, keeps, facts)


def _frozen(seen: Seen, thresholds: Thresholds) -> Iterator[Reading]:
    if not thresholds.frozen:
        return
    is_frozen = seen.frozen_at is not None
    facts = {"since": format_instant(seen.frozen_at) if seen.frozen_at else None, "reason": seen.frozen_for}
    yield Reading(FROZEN, FROZEN, FROZEN, is_frozen, is_frozen, facts)
