"""The price bands of a week on the clock of a time zone, and the holidays that change them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from costmeter.core.periods import format_instant, zone
from costmeter.core.price_book import Calendar, PriceBook, Step

WEEKS_AHEAD = 12  # that holidays are told of
_DAY, _QUARTER = timedelta(days=1), timedelta(minutes=15)  # no zone's clock is off by less


class _Quarter(NamedTuple):
    """A quarter of an hour: its band (None: no price), whether that is provisional or on a holiday, and its start."""

    band: str | None
    provisional: bool
    holiday: bool
    at: datetime


def week_of_bands(
    book: PriceBook, model: str, currency: str, first: date, *, timezone: str, now: datetime
) -> dict[str, Any]:
    """The bands of a model in the seven days from one on, hour by hour on the clock of a time zone.

    An hour is a list of equal parts: one where nothing changes in it, none where the clock skips it. One that the clock
    repeats has both times in it. A part that now is in says so.
    """
    days = [first + _DAY * number for number in range(7)]
    return {
        "model": model,
        "currency": currency,
        "timezone": timezone,
        "days": [
            {
                "day": day.isoformat(),
                "hours": [_hour(book, model, currency, start, now) for start in _hours(day, timezone)],
            }
            for day in days
        ],
    }


def _hours(day: date, timezone: str) -> Iterator[list[datetime]]:
    """The quarters of an hour of each hour of a day, as instants: fewer where the clock is put forward."""
    for hour in range(24):
        yield sorted(_instants(day, hour, timezone))


def _instants(day: date, hour: int, timezone: str) -> set[datetime]:
    tz, found = zone(timezone), set()
    for minute in (0, 15, 30, 45):
        for fold in (0, 1):
            local = datetime.combine(day, time(hour, minute, fold=fold), tz)
            instant = local.astimezone(UTC)
            if instant.astimezone(tz).replace(tzinfo=None) == local.replace(tzinfo=None, fold=0):
                found.add(instant)
    return found


def _hour(
    book: PriceBook, model: str, currency: str, starts: Sequence[datetime], now: datetime
) -> list[dict[str, Any]]:
    quarters = [_quarter(book, model, currency, start) for start in starts]
    size = next((size for size in (8, 4, 2) if len(quarters) % size == 0 and _is_even(quarters, size)), 1)
    parts = [quarters[place : place + size] for place in range(0, len(quarters), size)]
    return [
        {
            "from": format_instant(part[0].at),
            "band": part[0].band,
            "provisional": part[0].provisional,
            "holiday": part[0].holiday,
            "now": part[0].at <= now < part[-1].at + _QUARTER,
        }
        for part in parts
    ]


def _is_even(quarters: Sequence[_Quarter], size: int) -> bool:
    """Whether nothing changes within any run of so many quarters."""
    runs = (quarters[place : place + size] for place in range(0, len(quarters), size))
    return all(len({quarter[:3] for quarter in run}) == 1 for run in runs)


def _quarter(book: PriceBook, model: str, currency: str, at: datetime) -> _Quarter:
    step = book.step_at(model, currency, at)
    if step is None:
        return _Quarter(None, False, False, at)
    return _Quarter(step.band, step.provisional, _is_holiday(step, at), at)


def _is_holiday(step: Step, at: datetime) -> bool:
    """Whether a window would be open at an instant, were it not for a holiday."""
    return any(
        window.calendar is not None and replace(window, calendar=None).contains(at) and not window.contains(at)
        for window in step.tariff.windows
    )


def coming_holidays(book: PriceBook, model: str, now: datetime) -> list[dict[str, Any]]:
    """The calendars that a model's price depends on now: days off of the coming weeks, and until when each is known."""
    tariffs = [tariff for tariff, period in book.tariffs_of(model) if now in period]
    calendars = {window.calendar.name: window.calendar for one in tariffs for window in one.windows if window.calendar}
    return [
        {
            "calendar": calendar.name,
            "timezone": calendar.zone.key,
            "published_to": calendar.published_to.isoformat(),
            "source": calendar.source,
            "stretches": _stretches(calendar, now),
        }
        for calendar in calendars.values()
    ]


def _stretches(calendar: Calendar, now: datetime) -> list[dict[str, str]]:
    today = now.astimezone(calendar.zone).date()
    ahead = sorted(day for day in calendar.days_off if today <= day < today + timedelta(weeks=WEEKS_AHEAD))
    runs = groupby(enumerate(ahead), key=lambda item: item[1] - _DAY * item[0])
    found = [[day for _, day in run] for _, run in runs]
    return [{"first": run[0].isoformat(), "last": run[-1].isoformat()} for run in found]
