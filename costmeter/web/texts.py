"""How pages write numbers and instants: every digit that there is, set so that it can be read."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from markupsafe import Markup

from costmeter.core.periods import parse_instant, zone

THIN = "\u202f"  # the narrow space that stands between thousands and does not break a line
MINUS = "\u2212"
_ADDRESS = re.compile(
    r"(?<!\S)(?:[a-z0-9-]+\.)+[a-z]{2,}/(?:[^\s;,()]*[^\s;,().])?", re.ASCII
)  # as the price book has it


def amount(text: str | None) -> Markup:
    """An exact decimal string: thousands apart, and what is beyond cents set smaller. Nothing is rounded."""
    if text is None:
        return Markup('<span class="none">\u2013</span>')
    sign, digits = (MINUS, text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = digits.partition(".")
    head, rest = f"{sign}{grouped(whole)}.{fraction[:2]}", fraction[2:]
    return Markup('<span class="amount">{}<span class="rest">{}</span></span>').format(head, rest)


def count(number: int) -> str:
    """A whole number, thousands apart."""
    return f"{MINUS if number < 0 else ''}{grouped(str(abs(number)))}"


def grouped(digits: str) -> str:
    first = len(digits) % 3
    parts = [digits[:first], *(digits[place : place + 3] for place in range(first, len(digits), 3))]
    return THIN.join(part for part in parts if part)


def instant(text: str, timezone: str) -> Markup:
    """An instant on the clock of a time zone; what machines read of it stays in UTC."""
    local = parse_instant(text).astimezone(zone(timezone)).replace(tzinfo=None)
    day, _, time = local.isoformat(" ", "milliseconds" if local.microsecond else "seconds").partition(" ")
    return Markup('<time datetime="{}"><span>{}</span> <span>{}</span></time>').format(text, day, time)


def sources(text: str) -> Markup:
    """Where a price is from: an address in it is a link, which tells the other site nothing of ours."""
    made, end = Markup(""), 0
    for found in _ADDRESS.finditer(text):
        made += text[end : found.start()] + Markup('<a href="https://{0}" rel="noreferrer noopener">{0}</a>').format(
            found.group()
        )
        end = found.end()
    return made + text[end:]


def clock(text: str, timezone: str, now: datetime) -> Markup:
    """The time of day of an instant to come, with its date where that is another day."""
    local, today = (one.astimezone(zone(timezone)) for one in (parse_instant(text), now))
    shown = f"{local:%H:%M}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M}"
    return Markup('<time datetime="{}">{}</time>').format(text, shown)


def until(text: str, now: datetime) -> str:
    """How long it is until an instant, in the two largest units that it has."""
    left = parse_instant(text) - now
    minutes = -(-left // timedelta(minutes=1))
    days, hours = minutes // 1440, minutes // 60 % 24
    parts = ((days, "d"), (hours, "h"), (minutes % 60, "min"))
    first = next((place for place, (value, _) in enumerate(parts) if value), 2)
    return " ".join(f"{value}\u00a0{unit}" for value, unit in parts[first : first + 2])


def lasted(start: str, end: str | datetime) -> str:
    """How long it was from one instant to another: below a minute to the millisecond, else in its two largest units."""
    time = (end if isinstance(end, datetime) else parse_instant(end)) - parse_instant(start)
    milliseconds = max(time // timedelta(milliseconds=1), 0)
    if milliseconds < 1_000:
        return f"{milliseconds}\u00a0ms"
    seconds = milliseconds // 1_000
    if seconds < 60:
        return f"{seconds}.{milliseconds % 1_000:03}".rstrip("0").rstrip(".") + "\u00a0s"
    parts = ((seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s"))
    first = next(place for place, (value, _) in enumerate(parts) if value)
    return " ".join(f"{value}\u00a0{unit}" for value, unit in parts[first : first + 2])


def size(number: int) -> Markup:
    """Bytes in the unit that suits them; how many exactly is said on hovering, and to machines."""
    shown, unit = number, "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if shown < 1_024 or unit == "TiB":
            break
        shown //= 1_024
    return Markup('<data value="{}" title="{} B">{}\u00a0{}</data>').format(
        number, count(number), grouped(str(shown)), unit
    )
