"""The parts of the day and the week at which DeepSeek's prices differ. Every window is [start, end)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))  # China has had no summer time since 1991.

FLAT, STANDARD, OFF_PEAK, PEAK = "flat", "standard", "off_peak", "peak"

# The first and last day of each public holiday of 2026: notice No. 7 of 2025 of the State Council's General
# Office. The make-up working days all fall on weekends, which are off-peak anyway. The calendar of 2027 is not in
# here: from then on only weekends are off-peak as a whole.
HOLIDAYS = (
    (date(2026, 1, 1), date(2026, 1, 3)),
    (date(2026, 2, 15), date(2026, 2, 23)),
    (date(2026, 4, 4), date(2026, 4, 6)),
    (date(2026, 5, 1), date(2026, 5, 5)),
    (date(2026, 6, 19), date(2026, 6, 21)),
    (date(2026, 9, 25), date(2026, 9, 27)),
    (date(2026, 10, 1), date(2026, 10, 7)),
)


def no_bands(_at: datetime) -> str:
    """The price does not depend on the time."""
    return FLAT


def bands_of_2025(at: datetime) -> str:
    """ "DeepSeek API provides off-peak pricing discounts during 16:30-00:30 UTC each day." """
    standard = time(0, 30) <= at.astimezone(UTC).time() < time(16, 30)
    return STANDARD if standard else OFF_PEAK


def bands_of_2026(at: datetime) -> str:
    """Peak is Monday to Friday 9:00-12:00 and 14:00-18:00 in Beijing, public holidays excluded (the footnote)."""
    local = at.astimezone(BEIJING)
    working = local.weekday() < 5 and not any(first <= local.date() <= last for first, last in HOLIDAYS)
    busy = time(9) <= local.time() < time(12) or time(14) <= local.time() < time(18)
    return PEAK if working and busy else OFF_PEAK
