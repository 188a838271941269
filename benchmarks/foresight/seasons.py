"""A year of daily spend as accounts have it, made from a seed: the kinds of seasons that a forecast must live with.

A day of a usual week comes to one dollar on average. Amounts are integers of 10^-12, as the ledger's are.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta

from costmeter.core.money import UNITS

FIRST, DAYS = date(2025, 1, 1), 365
WORKING_WEEK = (1.2, 1.25, 1.2, 1.15, 1.0, 0.35, 0.3)
Season = Callable[[random.Random], Iterator[float]]


def season(kind: str, seed: int) -> list[int]:
    """The daily spend of one account."""
    return [round(amount * UNITS) for amount in SEASONS[kind](random.Random(f"{kind} {seed}"))]


def _days() -> Iterator[date]:
    return (FIRST + timedelta(days=number) for number in range(DAYS))


def _noise(chance: random.Random, size: float = 0.15) -> float:
    """A factor of 1 on average."""
    return math.exp(chance.gauss(0, size) - size * size / 2)


def _weekday(day: date) -> float:
    return WORKING_WEEK[day.weekday()]


def _steady(chance: random.Random) -> Iterator[float]:
    return (_noise(chance) for _ in _days())


def _working_week(chance: random.Random) -> Iterator[float]:
    return (_weekday(day) * _noise(chance) for day in _days())


def _growth(chance: random.Random) -> Iterator[float]:
    """One percent more each day: a third more each month."""
    return (1.01**number * _weekday(day) * _noise(chance) for number, day in enumerate(_days()))


def _decline(chance: random.Random) -> Iterator[float]:
    return (0.992**number * _weekday(day) * _noise(chance) for number, day in enumerate(_days()))


def _steps(chance: random.Random) -> Iterator[float]:
    """Four days in the year on which the account goes on at another level, for good."""
    level, changes = 1.0, chance.sample(range(40, DAYS), 4)
    for number, day in enumerate(_days()):
        level *= chance.choice((0.4, 0.6, 1.8, 2.5)) if number in changes else 1
        yield level * _weekday(day) * _noise(chance)


def _bursts(chance: random.Random) -> Iterator[float]:
    """One day in twenty-five is four to twelve times as large."""
    for day in _days():
        yield _weekday(day) * _noise(chance, 0.2) * (chance.uniform(4, 12) if chance.random() < 0.04 else 1)


def _month_ends(chance: random.Random) -> Iterator[float]:
    """The last three days of a month are three times as large."""
    for day in _days():
        is_last = (day + timedelta(days=3)).month != day.month
        yield _weekday(day) * _noise(chance) * (3 if is_last else 1)


def _quiet_start(chance: random.Random) -> Iterator[float]:
    """Nothing for months, then twenty days of growing up."""
    start = chance.randrange(60, 200)
    for number, day in enumerate(_days()):
        yield 0 if number < start else _weekday(day) * _noise(chance, 0.2) * min(1, (number - start + 1) / 20)


def _weekly_batch(chance: random.Random) -> Iterator[float]:
    return (7 * _noise(chance, 0.2) if day.weekday() == 0 else 0 for day in _days())


def _wandering(chance: random.Random) -> Iterator[float]:
    """A level that changes by some six percent each day, this way or that."""
    level = 1.0
    for day in _days():
        level *= math.exp(chance.gauss(0, 0.06))
        yield level * _weekday(day) * _noise(chance)


def _now_and_then(chance: random.Random) -> Iterator[float]:
    """Three days of ten are used at all, and each differently."""
    return (_noise(chance, 0.8) if chance.random() < 0.3 else 0 for _ in _days())


SEASONS: Mapping[str, Season] = {
    "steady": _steady,
    "working week": _working_week,
    "growth": _growth,
    "decline": _decline,
    "steps": _steps,
    "bursts": _bursts,
    "month-end peaks": _month_ends,
    "quiet start": _quiet_start,
    "weekly batch": _weekly_batch,
    "wandering": _wandering,
    "now and then": _now_and_then,
}
