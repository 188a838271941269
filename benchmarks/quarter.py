"""A quarter in an account's life, seen twice: in costmeter's books, and in the simulator's, which share no code.

`python -m benchmarks quarter` lives through it with a million calls on each database and says what that takes.

March to May 2025, in Berlin's months: calls of two models and, from April 10 on, of a third whose price is not known
before May 20; of 100 calls one comes up to twelve days late, so that some come after their month was closed, and two
are sent again; grants that expire, one of them entered three days late; three closes.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Engine

from benchmarks import databases
from costmeter import wiring
from costmeter.core.money import parse_amount
from costmeter.core.periods import format_instant
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import builtin_book, builtin_text, read_book, read_edition
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.capture import capture
from costmeter.services.close_month import close_month
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.simulator.bills import Bill
from costmeter.simulator.credits import Balance
from costmeter.simulator.ledger import Ledger
from costmeter.simulator.prices import Rates, find_tariff
from costmeter.simulator.usage import Usage
from costmeter.store import accounts, balances
from costmeter.store.accounts import Home
from costmeter.store.engine import reading

ACCOUNT, HOME = "default", Home("USD", "Europe/Berlin")
FIRST, DAYS = date(2025, 3, 1), 92  # to May 31
MONTHS = ("2025-03", "2025-04", "2025-05")
CLOSES = {date(2025, 4, 4): "2025-03", date(2025, 5, 4): "2025-04"}  # the third comes after the last day
LAST_CLOSE = datetime(2025, 6, 4, tzinfo=UTC)
NEW_MODEL, NEW_MODEL_FROM, PRICED_ON = "deepseek-9", date(2025, 4, 10), date(2025, 5, 20)
NEW_RATES = Rates(100_000, 1_000_000, 2_000_000)  # in 10^-12 USD a token
# Everything that came late has come by the end of these days; on the last three of them everything is priced too.
QUIET = (
    date(2025, 3, 14),
    date(2025, 3, 28),
    date(2025, 4, 14),
    date(2025, 5, 14),
    date(2025, 5, 28),
    date(2025, 5, 31),
)
IN_DOUBT = QUIET[2:4]  # calls of the third model are charged by DeepSeek, and have no price in the book yet
LATE, AGAIN = 0.01, 0.02
CALLS = 1_000_000  # of the benchmark
THIRD_MODEL = """
format = 1
provider = "deepseek"
checked = 2026-01-01

[[tariffs]]
id = "deepseek-9/2025"
model = "deepseek-9"
basis = "completion"
band = "flat"
from = 2025-01-01T00:00:00Z
windows = []
source = "made up"
checked = 2025-01-01
confidence = "A"
[tariffs.USD]
flat = { "input.cache_hit" = "0.10", "input.cache_miss" = "1.00", "output" = "2.00" }

[[names]]
name = "deepseek-9"
spans = [{ model = "deepseek-9" }]
source = "made up"
"""


class Gift(NamedTuple):
    """A credit: what DeepSeek gives on a day, and how many days later it is entered in costmeter's books."""

    day: date
    kind: str
    amount: str
    expires: date | None = None
    days_late: int = 0


class Call(NamedTuple):
    """One call, and the days on which it is sent."""

    body: dict[str, Any]
    completed_at: datetime
    usage: Usage


def gifts(calls: int) -> list[Gift]:
    """Grants for part of a month's calls, and top-ups that outlast the quarter; all grow with the calls."""
    unit = calls // 1_000 or 1
    return [
        Gift(date(2025, 3, 1), "granted", f"{unit}.30", date(2025, 3, 20)),
        Gift(date(2025, 3, 1), "topped_up", f"{6 * unit}.00"),
        Gift(date(2025, 4, 1), "granted", f"{unit}.70", date(2025, 4, 20)),
        Gift(date(2025, 4, 22), "granted", f"{unit}.25", date(2025, 6, 30), days_late=3),
        Gift(date(2025, 5, 5), "granted", f"{unit}.05", date(2025, 5, 25)),
        Gift(date(2025, 5, 6), "topped_up", f"{6 * unit}.00"),
    ]


def lines(calls: int) -> Iterator[str]:
    """What the quarter takes, and whether the balance was the vendor's to the digit and the ledger whole after it."""
    with databases.postgresql_server() as server, tempfile.TemporaryDirectory() as folder:
        for url in (f"sqlite:///{folder}/quarter.sqlite3", databases.new_database(server)):
            engine = wiring.open_database(url)
            yield from _lived(engine, calls)
            engine.dispose()


def _lived(engine: Engine, calls: int) -> Iterator[str]:
    agreed: list[bool] = []

    def on_quiet(day: date, now: datetime, vendor: Balance) -> None:
        with reading(engine) as connection:
            found = balances.balance_at(connection, accounts.get(connection, ACCOUNT), now)
        if day not in IN_DOUBT:
            agreed.append((found.granted, found.topped_up) == (vendor.granted, vendor.topped_up))

    began = time.perf_counter()
    quarter = Quarter(engine, calls, books=(builtin_book(), read_book([builtin_text(), THIRD_MODEL])))
    told = quarter.run(on_close=lambda _: None, on_quiet=on_quiet)
    lived = time.perf_counter() - began
    name = engine.dialect.name
    yield f"{name}: {told['sent']:,} calls sent, {told['duplicates']:,} of them again, in {lived:,.0f} s"
    same = f"the vendor's balance {agreed.count(True)} times of {len(agreed)}"
    yield f"  {quarter.closing:,.0f} s of that for three closes; {same}"
    began = time.perf_counter()
    findings = verify(engine, full=True)
    yield f"  a full verify took {time.perf_counter() - began:,.0f} s and found {len(findings)}"


class _Clock:
    """Where the simulator's books take their time from."""

    def __init__(self) -> None:
        self.at = datetime(2025, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Quarter:
    """The quarter, day by day; `on_close` is told each month that was closed, `on_quiet` the vendor's balance."""

    def __init__(self, engine: Engine, calls: int, *, books: tuple[PriceBook, PriceBook], seed: int = 1) -> None:
        self.engine, self.calls, self._books = engine, calls, books
        self._chance = random.Random(seed)
        self._clock = _Clock()
        self.vendor = Ledger(self._clock)  # type: ignore[arg-type]  # it asks for no more than now()
        self._arrivals: dict[date, list[dict[str, Any]]] = defaultdict(list)
        self._gifts = gifts(calls)
        self.sent = self.duplicates = 0
        self.closing = 0.0  # seconds

    def run(
        self, *, on_close: Callable[[str], None], on_quiet: Callable[[date, datetime, Balance], None]
    ) -> Mapping[str, int]:
        """Live through the quarter; returns how many calls were sent, and how many of them were sent before."""
        for number in range(DAYS):
            day = FIRST + timedelta(days=number)
            end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
            self._live(day)
            self._enter(day, end)
            if day == PRICED_ON:
                reprice(self.engine, book=self._book(day), read_book=read_edition, by="finance", now=end)
            if day in CLOSES:
                self._close(CLOSES[day], end)
                on_close(CLOSES[day])
            if day in QUIET:
                self._clock.at = end
                on_quiet(day, end, self.vendor.balance())
        self._close(MONTHS[2], LAST_CLOSE)
        on_close(MONTHS[2])
        return {"sent": self.sent, "duplicates": self.duplicates}

    def _book(self, day: date) -> PriceBook:
        return self._books[day >= PRICED_ON]

    def _close(self, month: str, now: datetime) -> None:
        began, reason = time.perf_counter(), "the third model has no price yet" if month == MONTHS[1] else None
        close_month(self.engine, ACCOUNT, month, by="finance", reason=reason, grace=timedelta(hours=72), now=now)
        self.closing += time.perf_counter() - began

    def _live(self, day: date) -> None:
        """What DeepSeek sees of a day: credits at its beginning, then the calls as they complete."""
        self._clock.at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for gift in self._gifts:
            if gift.day == day:
                self.vendor.add_credit(gift.kind, gift.amount, expires_at=_end(gift))
        for call in sorted(self._made(day), key=lambda call: call.completed_at):
            self.vendor.charge(_bill(call))
            for sent_on in self._days(day):
                self._arrivals[sent_on].append(call.body)

    def _days(self, day: date) -> Iterator[date]:
        """The days on which a call is sent: its own or a later one, and perhaps another."""
        next_quiet = next(quiet for quiet in QUIET if quiet >= day)
        late = self._chance.randrange(1, 13) if self._chance.random() < LATE else 0
        first = min(day + timedelta(days=late), next_quiet)
        yield first
        if self._chance.random() < AGAIN:
            yield min(first + timedelta(days=self._chance.randrange(5)), QUIET[-1])

    def _enter(self, day: date, now: datetime) -> None:
        """What costmeter's books get on a day."""
        for number, gift in enumerate(self._gifts):
            if gift.day + timedelta(days=gift.days_late) == day:
                new = NewCredit(
                    ACCOUNT,
                    gift.kind,
                    parse_amount(gift.amount),
                    None,
                    _midnight(gift.day),
                    _end(gift),
                    f"gift {number}",
                )
                add_credit(self.engine, new, by="finance", home=HOME, now=now)
        bodies = self._arrivals.pop(day, [])
        self._chance.shuffle(bodies)
        tally = capture(self.engine, bodies, book=self._book(day), home=HOME, now=now)
        assert (tally.conflicts, tally.quarantined) == (0, 0), tally
        self.sent += len(bodies)
        self.duplicates += tally.duplicates

    def _made(self, day: date) -> Iterator[Call]:
        number = (day - FIRST).days
        for place in range(self.calls * number // DAYS, self.calls * (number + 1) // DAYS):
            yield _call(self._chance, place, day)


def _end(gift: Gift) -> datetime | None:
    return None if gift.expires is None else _midnight(gift.expires)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _call(chance: random.Random, number: int, day: date) -> Call:
    models = ["deepseek-chat", "deepseek-reasoner"] + [NEW_MODEL] * (day >= NEW_MODEL_FROM)
    hit, miss, output = chance.randrange(200) * 64, chance.randrange(1, 8_000), chance.randrange(1, 4_000)
    usage = Usage(hit, miss, output, reasoning=chance.randrange(output))
    completed_at = _midnight(day) + timedelta(microseconds=chance.randrange(86_400_000_000))
    body = {
        "event_id": f"call-{number}",
        "account": ACCOUNT,
        "project": f"project-{chance.randrange(20)}",
        "api_key": f"key-{chance.randrange(3)}",
        "model": chance.choice(models),
        "response_id": hashlib.sha256(str(number).encode()).hexdigest()[:32],
        "completed_at": format_instant(completed_at),
        "usage": usage.as_json(),
    }
    return Call(body, completed_at, usage)


def _bill(call: Call) -> Bill:
    """What DeepSeek charges for a call, by the simulator's own list."""
    model, usage = call.body["model"], call.usage
    if model == NEW_MODEL:
        band, rates = "flat", NEW_RATES
    else:
        tariff = find_tariff(model, call.completed_at)
        assert tariff is not None
        band = tariff.band_at(call.completed_at)
        rates = tariff.rates["USD"][band]
    cost = rates.cost(cache_hit=usage.cache_hit, cache_miss=usage.cache_miss, output=usage.completion)
    return Bill(call.body["event_id"], "fp", model, call.completed_at, band, usage, cost, False, None, None)
