"""The usage export of DeepSeek's console: rows of texts in, exact values out.

The console gives a ZIP with an amount file (tokens by key, model, meter and price) and a cost file (money by model and
wallet), in one of two generations of columns: days of UTC (`utc_date`), or hours or days with an offset
(`start_time_iso`, `end_time_iso`). The format is not documented; it is what several independent readers agree on.

Every price that DeepSeek has listed is a whole number of 10^-12 for one token, and so is every product of it. A cost
with more digits than that (up to 16 are printed) is exact only where the others are zeros; any other is refused.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from costmeter.core.errors import InputError
from costmeter.core.events import digest
from costmeter.core.ledger import GRANTED, TOPPED_UP
from costmeter.core.money import check_currency, parse_amount, parse_rate
from costmeter.core.periods import as_utc, format_instant, parse_instant
from costmeter.core.price_book import CACHE_HIT, CACHE_MISS, OUTPUT
from costmeter.core.secrets import fingerprint, without_secrets
from costmeter.core.texts import TEXT_LENGTH

REQUESTS = "requests"  # how many calls; it has no price
METERS = {
    "input_cache_hit_tokens": CACHE_HIT,
    "input_cache_miss_tokens": CACHE_MISS,
    "output_tokens": OUTPUT,
    "request_count": REQUESTS,
}
# How the wallet is spelt in the files and readers that were seen, in lower case.
WALLETS = {"granted": GRANTED} | dict.fromkeys(("paid", "prepaid", "topped_up", "main_wallet"), TOPPED_UP)
LONGEST = timedelta(days=31)

_USAGE_COLUMNS = ("user_id", "model", "api_key_name", "api_key", "type", "price", "amount")
_COST_COLUMNS = ("user_id", "model", "wallet_type", "cost", "currency")
_OLD, _NEW = ("utc_date",), ("start_time_iso", "end_time_iso")
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)", re.ASCII)
_COUNT = re.compile(r"\d{1,18}", re.ASCII)

Row = TypeVar("Row")


class Interval(NamedTuple):
    """The instants from `start` up to, but without, `end`."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{format_instant(self.start)} to {format_instant(self.end)}"


class UsageRow(NamedTuple):
    """What one key used of one meter at one price of a token (None for requests). `slot` is all but the amount."""

    interval: Interval
    model: str
    api_key: str  # the key's name
    key: str  # the fingerprint of what the file shows of the key itself
    meter: str
    price: int | None
    amount: int
    place: str
    slot: bytes


class CostRow(NamedTuple):
    """What one model cost from one wallet, granted or topped_up. `slot` is all but the cost."""

    interval: Interval
    model: str
    wallet: str
    currency: str
    cost: int
    place: str
    slot: bytes


class Refused(NamedTuple):
    """A row that cannot be used: its file and line, and the field, value and remedy."""

    place: str
    error: str


class ConsoleExport(NamedTuple):
    """All rows of an export, and those that were refused."""

    usage: tuple[UsageRow, ...]
    costs: tuple[CostRow, ...]
    refused: tuple[Refused, ...]

    @property
    def intervals(self) -> list[Interval]:
        return sorted({row.interval for row in self.usage} | {row.interval for row in self.costs})

    @property
    def currencies(self) -> list[str]:
        return sorted({row.currency for row in self.costs})


class Unequal(NamedTuple):
    """Where the two files contradict each other: what the amounts come to by their prices, and the costs."""

    interval: Interval
    model: str
    priced: int
    cost: int


Files = Mapping[str, Iterable[tuple[int, Sequence[str]]]]  # by name, each row with its line


def read_export(amounts: Files, costs: Files) -> ConsoleExport:
    """The export of these files, whose first row names the columns.

    Raises InputError where a file has not the columns of either generation; a row that cannot be used is in `refused`.
    """
    refused: list[Refused] = []
    usage = [row for name, rows in amounts.items() for row in _rows(name, rows, _USAGE_COLUMNS, _usage, refused)]
    paid = [row for name, rows in costs.items() for row in _rows(name, rows, _COST_COLUMNS, _cost, refused)]
    return ConsoleExport(tuple(usage), tuple(paid), tuple(refused))


def contradictions(export: ConsoleExport) -> list[Unequal]:
    """Where sum(price x amount) is not sum(cost), by interval and model; nothing is said of two currencies at once."""
    if len(export.currencies) > 1:
        return []
    priced: dict[tuple[Interval, str], int] = defaultdict(int)
    cost: dict[tuple[Interval, str], int] = defaultdict(int)
    for used in export.usage:
        priced[used.interval, used.model] += used.amount * (used.price or 0)
    for paid in export.costs:
        cost[paid.interval, paid.model] += paid.cost
    slots = sorted({*priced, *cost})
    return [Unequal(*slot, priced[slot], cost[slot]) for slot in slots if priced[slot] != cost[slot]]


def overlapping(intervals: Iterable[Interval], taken: Iterable[Interval]) -> dict[Interval, Interval]:
    """The intervals that share instants with another one, which is taken or comes before them, and with which.

    Those that are taken share none with each other.
    """
    kept = sorted(set(taken))
    found = {}
    for interval in sorted({*intervals}.difference(kept)):
        place = bisect_left(kept, interval)
        beside = kept[max(place - 1, 0) : place + 1]
        other = next((one for one in beside if one.start < interval.end and interval.start < one.end), None)
        if other is None:
            kept.insert(place, interval)
        else:
            found[interval] = other
    return found


def _rows(
    name: str,
    rows: Iterable[tuple[int, Sequence[str]]],
    columns: Sequence[str],
    read: Callable[[str, Interval, Mapping[str, str]], Row],
    refused: list[Refused],
) -> Iterator[Row]:
    """The rows of one file as values; what cannot be used is put among the refused."""
    lines = iter(rows)
    _, header = next(lines, (1, ()))
    times = _NEW if _NEW[0] in header else _OLD
    if missing := [column for column in (*times, *columns) if column not in header]:
        raise InputError(f"{name}:1", list(header), f"has no column {missing[0]}; export from DeepSeek's console again")
    for line, texts in lines:
        place = f"{name}:{line}"
        try:
            if len(texts) != len(header):
                raise InputError(
                    "row", list(texts), f"has {len(texts)} fields, the header {len(header)}; export it again"
                )
            fields = dict(zip(header, texts, strict=True))
            yield read(place, _interval(fields, times), fields)
        except InputError as error:
            refused.append(Refused(place, str(error)))


def _interval(fields: Mapping[str, str], times: Sequence[str]) -> Interval:
    if times == _OLD:
        start = _day(fields["utc_date"])
        return Interval(start, start + timedelta(days=1))
    start, end = (parse_instant(fields[name], name) for name in times)
    if not start < end <= start + LONGEST:
        raise InputError(
            "end_time_iso", fields["end_time_iso"], "is not after start_time_iso, or over a month after it"
        )
    return Interval(start, end)


def _day(text: str) -> datetime:
    match = _DATE.fullmatch(text)
    try:
        if match is not None:
            return as_utc(datetime(*map(int, match.groups()), tzinfo=UTC), "utc_date")  # type: ignore[arg-type,misc]
    except ValueError:
        pass
    raise InputError("utc_date", text, "write a date of UTC as YYYYMMDD or YYYY-MM-DD")


def _usage(place: str, interval: Interval, fields: Mapping[str, str]) -> UsageRow:
    meter = METERS.get(fields["type"].strip().lower())
    if meter is None:
        raise InputError("type", fields["type"], f"is no meter of the console; known are {', '.join(METERS)}")
    if meter == REQUESTS and fields["price"].strip():
        raise InputError("price", fields["price"], "requests have no price; export it again")
    price = None if meter == REQUESTS else parse_rate(fields["price"], 1, "price")
    if not _COUNT.fullmatch(fields["amount"]):
        raise InputError("amount", fields["amount"], "is no whole number of tokens or requests; export it again")
    model, name = _text(fields, "model"), _name(fields, "api_key_name")
    key = fingerprint(fields["api_key"])
    slot = digest(["usage", fields["user_id"], *map(format_instant, interval), model, name, key, meter, price])
    return UsageRow(interval, model, name, key, meter, price, int(fields["amount"]), place, slot)


def _cost(place: str, interval: Interval, fields: Mapping[str, str]) -> CostRow:
    wallet = WALLETS.get(fields["wallet_type"].strip().lower())
    if wallet is None:
        known = ", ".join(WALLETS)
        raise InputError("wallet_type", fields["wallet_type"], f"is no wallet that is known; known are {known}")
    cost = parse_amount(fields["cost"], "cost")
    if cost < 0:
        raise InputError("cost", fields["cost"], "is negative; a cost is 0 or more")
    currency, model = check_currency(fields["currency"]), _text(fields, "model")
    slot = digest(["cost", fields["user_id"], *map(format_instant, interval), model, wallet, currency])
    return CostRow(interval, model, wallet, currency, cost, place, slot)


def _text(fields: Mapping[str, str], field: str) -> str:
    if not fields[field].strip():
        raise InputError(field, fields[field], "is empty; export it again")
    return _name(fields, field)


def _name(fields: Mapping[str, str], field: str) -> str:
    text = without_secrets(fields[field].strip())
    if len(text) > TEXT_LENGTH or not text.isprintable():
        raise InputError(field, text, f"write at most {TEXT_LENGTH} printable characters")
    return text
