"""What is told: the facts of a notice in plain words, the same for every channel and at every attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from string import ascii_letters, digits
from typing import Any, NamedTuple

from costmeter.core.budgets import TOKENS
from costmeter.core.errors import InputError
from costmeter.core.money import UNITS, format_amount, parse_total, round_amount
from costmeter.core.periods import parse_instant, zone

RAISED, RECOVERED, DIGEST, TEST = "raised", "recovered", "digest", "test"
_LONGEST_TITLE = 200
_UNRESERVED = frozenset(f"{ascii_letters}{digits}-._~")


class Notice(NamedTuple):
    """Something to be told; `facts` are JSON, made by whoever noticed it. The account is empty where there is none."""

    account: str
    notice_id: str
    kind: str
    event: str
    subject: str
    facts: Mapping[str, Any]
    created_at: datetime


class Table(NamedTuple):
    """A table of texts; all columns but the first stand to the right."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Chart(NamedTuple):
    """Bars over time: a label, an exact amount, and what it is of where a bar has several parts (else "")."""

    caption: str
    unit: str
    points: Sequence[tuple[str, str, str]]


class Spend(NamedTuple):
    """Who caused what a notice tells of, the largest first, and how it came about over time.

    `by` is what the leaders are: project, user or api_key; `total` is all of it, in units of 10^-12 or in tokens.
    """

    by: str
    leaders: Sequence[tuple[str, int]]
    total: int
    per: str  # "day" or "hour"
    over_time: Sequence[tuple[str, int]]


class Said(NamedTuple):
    """What one kind of notice makes of its facts; `path` and `command` say where to look further."""

    title: str
    text: str
    lines: Sequence[tuple[str, str]]
    path: str
    command: str
    tables: Sequence[Table] = ()
    chart: Chart | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A composed notice: a title, a few sentences, facts by name, tables and a chart, and where to look."""

    notice_id: str
    account: str
    kind: str
    event: str
    title: str
    text: str
    lines: Sequence[tuple[str, str]]
    tables: Sequence[Table]
    chart: Chart | None
    url: str | None
    command: str
    facts: Mapping[str, Any]
    created_at: datetime


def compose(
    notice: Notice, kinds: Mapping[str, Callable[[Notice], Said]], *, spend: Spend | None = None, site: str | None
) -> Message:
    """The message of a notice; `site` is the service's public address, which links begin with.

    Facts that are not what their kind should have are told in the general form: better plain than not at all.
    """
    try:
        said = _as_texts(kinds.get(notice.kind, in_general)(notice))
    except (AttributeError, InputError, LookupError, TypeError, ValueError):
        said = _as_texts(in_general(notice))
    unit = str(notice.facts.get("unit", notice.facts.get("currency", "")))
    return Message(
        notice_id=notice.notice_id,
        account=notice.account,
        kind=notice.kind,
        event=notice.event,
        title=said.title[:_LONGEST_TITLE],
        text=said.text,
        lines=said.lines,
        tables=[*([_leaders_table(spend, unit)] if spend and spend.leaders else []), *said.tables],
        chart=_chart(spend, unit) if spend and spend.over_time else said.chart,
        url=None if site is None else site.rstrip("/") + said.path,
        command=said.command,
        facts=notice.facts,
        created_at=notice.created_at,
    )


def in_general(notice: Notice) -> Said:
    """A notice of any kind: its facts as they are."""
    what = notice.kind.replace("_", " ")
    ended = " has ended" if notice.event == RECOVERED else ""
    whose = f" of account {notice.account}" if notice.account else ""
    title = f"{what[:1].upper()}{what[1:]}{ended}{whose}"
    lines = [(name.replace("_", " "), _plain(value)) for name, value in notice.facts.items() if value is not None]
    return Said(title, f"{title}: {notice.subject}.", lines, *where_to_look(notice.account))


def where_to_look(account: str) -> tuple[str, str]:
    """The page and the command that show what was raised."""
    if not account:
        return "/alerts", "costmeter alerts list"
    return f"/alerts?account={in_url(account)}", f"costmeter alerts list --account {account}"


def as_text(message: Message) -> str:
    """The whole message as plain text, its title apart."""
    parts = [message.text, "\n".join(f"{name}: {value}" for name, value in message.lines)]
    parts += [_table_text(table) for table in message.tables]
    parts.append(f"See: {message.url or message.command}")
    return "\n\n".join(part for part in parts if part) + "\n"


def money(amount: object, unit: str) -> str:
    """An amount with its unit as people read it: two decimals, six below one; tokens are whole."""
    if unit == TOKENS:
        return f"{int(str(amount)):,} tokens"
    units = parse_total(amount)
    decimals = 2 if abs(units) >= UNITS or units == 0 else 6
    whole, _, fraction = format_amount(abs(round_amount(units, decimals))).partition(".")
    return f"{'-' if units < 0 else ''}{int(whole):,}.{fraction} {unit}"


def units_of(amount: object, unit: str) -> int:
    """An amount in units of 10^-12, or a number of tokens."""
    return int(str(amount)) if unit == TOKENS else parse_total(amount)


def exact(amount: object, unit: str) -> str:
    """An amount with all its digits and its unit."""
    return money(amount, unit) if unit == TOKENS else f"{format_amount(parse_total(amount))} {unit}"


def share(part: int, whole: int) -> str:
    """A share in percent with one decimal, rounded down: what is not reached is not shown as reached."""
    tenths = part * 1000 // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10} %"


def when(instant: object, timezone: str) -> str:
    """An instant on the clocks of a time zone, with its name."""
    return f"{parse_instant(instant).astimezone(zone(timezone)):%Y-%m-%d %H:%M} ({timezone})"


def counted(number: int, noun: str) -> str:
    """A number of things: 1 call, 1,234 calls."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_line(text: str) -> str:
    """A text without line breaks and whatever else would steer what shows it."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def in_url(text: str) -> str:
    """A text as one part of a URL (RFC 3986, section 2.1)."""
    kept = (chr(byte) if chr(byte) in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())
    return "".join(kept)


def _as_texts(said: Said) -> Said:
    """The same, each part a text on one line, whatever the facts were that it was made of."""
    lines = [(name, one_line(str(value))) for name, value in said.lines]
    tables = [
        table._replace(rows=[[one_line(str(cell)) for cell in row] for row in table.rows]) for table in said.tables
    ]
    return said._replace(title=one_line(said.title), text=one_line(said.text), lines=lines, tables=tables)


def _leaders_table(spend: Spend, unit: str) -> Table:
    """By whom mostly."""
    rows = [
        [one_line(name), money(_amount(units, unit), unit), share(units, spend.total)] for name, units in spend.leaders
    ]
    by = spend.by.replace("_", " ")
    return Table(f"Mostly by {by}", (by, "spent", "share"), rows)


def _chart(spend: Spend, unit: str) -> Chart:
    points = [(label, _amount(units, unit), "") for label, units in spend.over_time]
    return Chart(f"Spent by {spend.per}, {unit}", unit, points)


def _amount(units: int, unit: str) -> str:
    return str(units) if unit == TOKENS else format_amount(units)


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_plain, value))
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _table_text(table: Table) -> str:
    rows = [table.columns, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{table.caption}:"]
    for first, *others in rows:
        rest = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(["", first.ljust(widths[0]), *rest]).rstrip())
    return "\n".join(lines)
