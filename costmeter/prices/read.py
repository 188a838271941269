"""Reads price books from TOML; a malformed one refuses to load and names table, key and value."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeVar

from costmeter.core.errors import InputError, PriceBookError
from costmeter.core.money import CURRENCIES, parse_rate
from costmeter.core.periods import Period, format_instant, zone
from costmeter.core.price_book import (
    FLAT,
    YEARS_AHEAD,
    Calendar,
    Meter,
    Name,
    OutputLimit,
    PriceBook,
    Rate,
    RateList,
    Span,
    Tariff,
    Window,
)
from costmeter.prices.limits import checked_limits, read_limit
from costmeter.prices.table import Table

T = TypeVar("T")

FORMAT = 1
CONFIDENCES = ("A", "B", "C", "X")  # official text, several quoting it, one or indirect, not sourced
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_BAND = re.compile(r"[a-z][a-z_]*", re.ASCII)


@cache
def builtin_book() -> PriceBook:
    """The price book that comes with this version of costmeter."""
    return read_book([builtin_text()])


def builtin_text() -> str:
    return resources.files("costmeter.prices").joinpath("deepseek.toml").read_text(encoding="utf-8")


def load_book(extra: Path | None) -> PriceBook:
    """The built-in book, with the tariffs, names, meters and calendars that the file at `extra` adds."""
    if extra is None:
        return builtin_book()
    try:
        return read_book([builtin_text(), extra.read_text(encoding="utf-8")])
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("COSTMETER_PRICE_BOOK", str(extra), f"cannot be read: {error}") from error


@lru_cache(maxsize=8)
def read_edition(text: str) -> PriceBook:
    """The book that a stored edition's text holds; the same text gives the same book."""
    return read_book(json.loads(text))


def read_book(texts: Sequence[str]) -> PriceBook:
    """A price book from TOML texts, later ones adding to earlier ones; raises PriceBookError."""
    meters: dict[str, Meter] = {}
    calendars: dict[str, Calendar] = {}
    tariffs: list[Tariff] = []
    names: dict[str, Name] = {}
    limits: list[OutputLimit] = []
    years = []
    for text in texts:
        root = _root(text)
        years.append(root.take("checked", date).year)
        _add(meters, ((name, _meter(name, table)) for name, table in root.named_tables("meters")), "meters")
        _add(calendars, ((name, _calendar(name, table)) for name, table in root.named_tables("calendars")), "calendars")
        tariffs += [_tariff(table, meters, calendars) for table in root.tables("tariffs")]
        for name in map(_name, root.tables("names")):
            names[name.name] = _merged(names.get(name.name), name)
        limits += [read_limit(table, CONFIDENCES) for table in root.tables("limits")]
        root.end()
    tariffs = _ended_by_successors(tariffs)
    _check(tariffs, names)
    years += [calendar.published_to.year for calendar in calendars.values()]
    stored = json.dumps(list(texts), ensure_ascii=False)
    return PriceBook(
        tariffs=tuple(tariffs),
        names=names,
        meters=meters,
        calendars=calendars,
        edition=hashlib.sha256(stored.encode()).hexdigest(),
        text=stored,
        horizon=datetime(max(years) + YEARS_AHEAD, 1, 1, tzinfo=UTC),
        limits=checked_limits(limits, {tariff.model for tariff in tariffs}),
    )


def _root(text: str) -> Table:
    try:
        root = Table("", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PriceBookError("price book", text[:40], f"is no TOML: {error}") from error
    if (form := root.take("format", int)) != FORMAT:
        raise PriceBookError("format", form, f"this version reads format {FORMAT}")
    root.text("provider", ("deepseek",))
    return root


def _add(known: dict[str, T], new: Iterable[tuple[str, T]], table: str) -> None:
    for name, value in new:
        if name in known:
            raise PriceBookError(table, name, "stands twice; a later file may add but not replace")
        known[name] = value


def _meter(name: str, table: Table) -> Meter:
    meter = Meter(name, table.text("unit"), table.take("per", int))
    if meter.per < 1:
        raise PriceBookError(f"{table.name}.per", meter.per, "must be 1 or more")
    table.end()
    return meter


def _calendar(name: str, table: Table) -> Calendar:
    tz = table.parsed("zone", zone)
    days: set[date] = set()
    for first, last in (_day_range(table, text) for text in table.take("days_off", list)):
        days.update(date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1))
    calendar = Calendar(
        name,
        tz,
        table.take("published_from", date),
        table.take("published_to", date),
        frozenset(days),
        table.text("source"),
    )
    if calendar.published_from >= calendar.published_to:
        raise PriceBookError(f"{table.name}.published_to", str(calendar.published_to), "must be after published_from")
    table.end()
    return calendar


def _day_range(table: Table, text: object) -> tuple[date, date]:
    try:
        first, last = (date.fromisoformat(part) for part in str(text).split("/"))
    except ValueError:
        raise PriceBookError(f"{table.name}.days_off", text, "write first/last day as 2026-10-01/2026-10-07") from None
    if last < first:
        raise PriceBookError(f"{table.name}.days_off", text, "ends before it begins")
    return first, last


def _tariff(table: Table, meters: Mapping[str, Meter], calendars: Mapping[str, Calendar]) -> Tariff:
    tariff_id = table.text("id")
    table.name = f"tariffs.{tariff_id}"
    model, period = table.text("model"), table.period()
    basis: Literal["completion", "start"] = table.text("basis", ("completion", "start"))
    band = table.parsed("band", _band, default=FLAT)
    windows = tuple(_window(inner, calendars) for inner in table.tables("windows"))
    source, confidence = table.text("source"), table.text("confidence", CONFIDENCES)
    checked, doubt = table.take("checked", date), table.text("doubt", default=None)
    if windows and period.start is None:
        raise PriceBookError(f"{table.name}.windows", len(windows), "a tariff with windows needs a from")
    bands = {band, *(window.band for window in windows)}
    rates = {
        currency: _rate_list(table.name, currency, content, bands, meters, source=source, confidence=confidence)
        for currency, content in table.rest().items()
    }
    if not rates:
        raise PriceBookError(f"{table.name}.USD", None, "is missing: a tariff has rates in at least one currency")
    return Tariff(tariff_id, model, period, basis, band, windows, rates, source, checked, confidence, doubt)


def _window(table: Table, calendars: Mapping[str, Calendar]) -> Window:
    band = table.parsed("band", _band)
    calendar_name = table.text("holidays", default=None)
    if calendar_name is not None and calendar_name not in calendars:
        raise PriceBookError(f"{table.name}.holidays", calendar_name, "is no calendar of the book")
    days = frozenset(_weekday(table, day) for day in table.take("days", list, list(WEEKDAYS)))
    start, end = table.parsed("start", _clock), table.parsed("end", _clock)
    if start == end:
        raise PriceBookError(f"{table.name}.end", end.isoformat(), "must differ from start")
    tz = table.parsed("zone", zone)
    table.end()
    return Window(band, start, end, tz, days, calendars[calendar_name] if calendar_name else None)


def _weekday(table: Table, day: object) -> int:
    if day not in WEEKDAYS:
        raise PriceBookError(f"{table.name}.days", day, f"use {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(str(day))


def _band(text: str) -> str:
    if not _BAND.fullmatch(text):
        raise ValueError("write a band in lower case, such as off_peak")
    return text


def _clock(text: str) -> time:
    return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007  a time of day has no zone of its own


def _rate_list(
    tariff: str,
    currency: str,
    content: object,
    bands: set[str],
    meters: Mapping[str, Meter],
    *,
    source: str,
    confidence: str,
) -> RateList:
    if currency not in CURRENCIES:
        known = ", ".join(CURRENCIES)
        raise PriceBookError(f"{tariff}.{currency}", content, f"is neither a known key nor a currency ({known})")
    table = Table(f"{tariff}.{currency}", content)
    own_source = table.text("source", default=source)
    own_confidence = table.text("confidence", CONFIDENCES, default=confidence)
    rates = {band: _rates(table, band, content, meters) for band, content in table.rest().items()}
    for band in sorted(bands ^ rates.keys()):
        raise PriceBookError(f"{table.name}.{band}", band, "must have rates and a window (or be the tariff's band)")
    return RateList(currency, rates, own_source, own_confidence)


def _rates(table: Table, band: str, content: object, meters: Mapping[str, Meter]) -> dict[str, Rate]:
    if not isinstance(content, dict) or not content:
        raise PriceBookError(f"{table.name}.{band}", content, "must list a rate for at least one meter")
    rates = {}
    for meter_name, text in content.items():
        where = f"{table.name}.{band}.{meter_name}"
        if meter_name not in meters:
            raise PriceBookError(where, meter_name, f"is no meter of the book ({', '.join(meters)})")
        try:
            rates[meter_name] = Rate(meters[meter_name], text, parse_rate(text, meters[meter_name].per, where))
        except InputError as error:
            raise PriceBookError(error.field, error.value, error.remedy) from None
    return rates


def _name(table: Table) -> Name:
    spans = tuple(Span(inner.text("model"), inner.period()) for inner in table.tables("spans"))
    name = Name(
        table.text("name"),
        spans,
        table.text("source"),
        table.text("retired", default=None),
        table.text("doubt", default=None),
    )
    if not spans:
        raise PriceBookError(f"{table.name}.spans", name.name, "must have at least one span")
    table.end()
    return name


def _merged(known: Name | None, new: Name) -> Name:
    """A name that a later file continues: its last, open span ends where the new ones begin."""
    if known is None:
        return new
    *earlier, last = known.spans
    if last.period.end is None:
        last = Span(last.model, Period(last.period.start, new.spans[0].period.start))
    return replace(new, spans=(*earlier, last, *new.spans))


def _ended_by_successors(tariffs: Sequence[Tariff]) -> list[Tariff]:
    """An open tariff ends where the next one of its model begins; any other overlap is refused."""
    ended: list[Tariff] = []
    latest: dict[str, int] = {}
    for tariff in sorted(tariffs, key=lambda t: (t.model, t.period.start or _BEFORE_ALL)):
        start, previous = tariff.period.start, ended[latest[tariff.model]] if tariff.model in latest else None
        if previous is not None:
            if previous.period.end is None and start is not None and start != previous.period.start:
                ended[-1] = replace(previous, period=Period(previous.period.start, start))
            elif previous.period.end is None or start is None or start < previous.period.end:
                shown = start and format_instant(start)
                raise PriceBookError(f"tariffs.{tariff.tariff_id}.from", shown, f"overlaps {previous.tariff_id}")
        latest[tariff.model] = len(ended)
        ended.append(tariff)
    return ended


def _check(tariffs: Sequence[Tariff], names: Mapping[str, Name]) -> None:
    """What holds across tables: ids are unique, and a name stands for models that have a tariff."""
    seen: set[str] = set()
    for tariff in tariffs:
        if tariff.tariff_id in seen:
            raise PriceBookError("tariffs.id", tariff.tariff_id, "stands twice; ids are unique")
        seen.add(tariff.tariff_id)
    models = {tariff.model for tariff in tariffs}
    for name in names.values():
        for earlier, later in pairwise(name.spans):
            if earlier.period.end is None or later.period.start is None or later.period.start < earlier.period.end:
                raise PriceBookError(f"names.{name.name}.spans", later.model, "spans stand in order and do not overlap")
        for span in name.spans:
            start, end = span.period
            if start and end and start >= end:  # a later file continued the name from before its last span
                raise PriceBookError(f"names.{name.name}.spans", span.model, "spans stand in order and do not overlap")
            if span.model not in models:
                raise PriceBookError(f"names.{name.name}.spans.model", span.model, "has no tariff")
