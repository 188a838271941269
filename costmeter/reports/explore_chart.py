"""What a chart of explored spend shows: bars over time or of what costs the most, each in parts of a few colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from costmeter.core.lessons import percent
from costmeter.core.money import format_amount
from costmeter.core.periods import MICROSECOND, Period, parse_instant, zone
from costmeter.reports.spend import MONEY
from costmeter.store.sums import hour_text

SERIES = 7  # that have a colour of their own; what comes to less is summed
BARS = 12  # of what is no time
SLOTS = 400  # days or hours: of more, nothing can be told apart
TIMES = ("day", "hour")
HITS = "cache_hit_percent"
_OF_HITS = ("cache_hit_tokens", "cache_miss_tokens")
_OF_COST = ("cost", "calls", "unpriced")
Row = Mapping[str, Any]


def chart_shape(
    rows: Sequence[Row], by: Sequence[str], metric: str, *, interval: Period, timezone: str, now: datetime
) -> dict[str, Any] | None:
    """A bar for each of `slots` with a part for each of `series`, every value exact; None where there is no row.

    A bar is one of the first time that is asked for, else of the first dimension; its parts are of the next dimension
    that is no time. What has no place of its own is in the last bar or part, which says how many `others` it sums.
    `slots` is None where they are more than can be drawn.
    """
    if not rows:
        return None
    time = next((name for name in by if name in TIMES), None)
    across = time or by[0]
    parted = next((name for name in by if name not in (across, *TIMES)), None)
    shape: dict[str, Any] = {"across": across, "parted": parted, "is_time": time is not None}
    if time is None:
        slots, left = _largest(rows, across, metric, BARS)
    else:
        times = _times(time, {row[time] for row in rows}, interval, timezone, now)
        if times is None:
            return shape | {"slots": None}
        slots, left = [*times], 0
    series, others = _largest(rows, parted, metric, SERIES) if parted else ([None], 0)
    sums = _sums(rows, metric, across=across, parted=parted, slots=slots, series=series)
    return shape | {
        "slots": _named(slots, left, [sums.get((place, None)) for place in range(len(slots) + 1)], metric),
        "series": _named(series, others, [sums.get((None, place)) for place in range(len(series) + 1)], metric),
        "parts": [
            {"slot": slot, "series": place, "value": value_of(found, metric)}
            for (slot, place), found in sums.items()
            if slot is not None and place is not None
        ],
        "total": value_of(sums[None, None], metric),
    }


def value_of(sums: Row, metric: str) -> str | int | None:
    """A metric as JSON has it; a cost that is not known, and a share of nothing, is None."""
    if metric == HITS:
        return percent(sums["cache_hit_tokens"], sums["cache_hit_tokens"] + sums["cache_miss_tokens"])
    if metric == "cost" and sums["unpriced"] == sums["calls"] > 0:
        return None
    value: int = sums[metric]
    return format_amount(value) if metric in MONEY else value


def _named(names: Sequence[str | None], others: int, sums: Sequence[Row | None], metric: str) -> list[dict[str, Any]]:
    """Each name with its value, None where nothing is of it; after the last, the others as one."""
    values = [None if one is None else value_of(one, metric) for one in sums]
    named = [{"name": name, "others": 0, "value": value} for name, value in zip(names, values, strict=False)]
    return [*named, {"name": None, "others": others, "value": values[-1]}] if others else named


def _largest(rows: Sequence[Row], name: str, metric: str, most: int) -> tuple[list[str | None], int]:
    """The names of a dimension that come to the most, the largest first, and how many others there are."""
    ranked = "calls" if metric == HITS else metric
    sizes: dict[str | None, int] = {}
    for row in rows:
        sizes[row[name]] = sizes.get(row[name], 0) + row[ranked]
    ordered = sorted(sizes, key=lambda one: (-sizes[one], one or ""))
    return ordered[:most], len(ordered[most:])


def _sums(
    rows: Sequence[Row],
    metric: str,
    *,
    across: str,
    parted: str | None,
    slots: Sequence[str | None],
    series: Sequence[str | None],
) -> dict[tuple[int | None, int | None], dict[str, int]]:
    """What each slot and series comes to; None stands for all of them. What has no place is in that after the last."""
    columns = _OF_HITS if metric == HITS else {"cost": _OF_COST}.get(metric, (metric,))
    slot_of, place_of = ({name: place for place, name in enumerate(names)} for names in (slots, series))
    found: dict[tuple[int | None, int | None], dict[str, int]] = {}
    for row in rows:
        slot = slot_of.get(row[across], len(slots))
        place = place_of.get(row[parted], len(series)) if parted else 0
        for key in ((slot, place), (slot, None), (None, place), (None, None)):
            sums = found.setdefault(key, dict.fromkeys(columns, 0))
            for name in columns:
                sums[name] += row[name]
    return found


def _times(name: str, found: Iterable[str], interval: Period, timezone: str, now: datetime) -> list[str] | None:
    """The days or hours up to now, and those beyond that something was booked of; None where they are too many."""
    assert interval.start is not None
    assert interval.end is not None
    end, times, at = min(interval.end, now), {*found}, interval.start
    step = timedelta(days=1) if name == "day" else timedelta(hours=1)
    if max((end - at) / step, len(times)) > SLOTS:
        return None
    tz = zone(timezone)
    while at < end:
        times.add(_time(name, at.astimezone(tz)))
        at += step / 4  # so that no day of 23 hours, and no hour that an interval begins within, is passed over
    if end > interval.start:
        times.add(_time(name, (end - MICROSECOND).astimezone(tz)))
    return sorted(times) if name == "day" else sorted(times, key=parse_instant)


def _time(name: str, local: datetime) -> str:
    return local.date().isoformat() if name == "day" else hour_text(local)
