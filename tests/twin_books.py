"""The same calls in two books: the simulator's, which is asked over a real socket, and ours. Faults are what one lacks.

Calls are charged in the simulator's ledger as they are, without a prompt for each, so that a month takes seconds. They
are deepseek-flash in October 2026: 0.003, 0.15 and 0.60 USD per million off-peak, and twice as much at peak hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx2
from sqlalchemy import Engine

from costmeter.core.money import parse_amount
from costmeter.core.periods import format_instant
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import read_edition
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.post_charges import post_charges
from costmeter.services.reconcile_balance import reconcile_balance
from costmeter.services.record_calls import Received, record_calls
from costmeter.simulator import Simulator, SimulatorClock
from costmeter.simulator.bills import Bill
from costmeter.simulator.prices import find_tariff
from costmeter.simulator.usage import Usage
from costmeter.store.accounts import Home
from costmeter.store.observations import Observation
from tests.make import book, usage

BEGIN = datetime.fromisoformat("2026-10-12T00:00:00+00:00")  # a Monday without holidays until the end of the month
OFF_PEAK, PEAK = timedelta(hours=12), timedelta(hours=2)  # of a weekday, in UTC
VENDORS, OURS, BOTH = "vendor's", "ours", "both"
MILLION = 10**6


class TwinBooks:
    """A simulator whose clock the test moves, and an account of a database."""

    def __init__(self, engine: Engine, simulator: Simulator, clock: SimulatorClock, priced_by: PriceBook) -> None:
        self.engine, self.simulator, self.clock, self.book = engine, simulator, clock, priced_by
        self.calls = 0

    def credit(
        self, kind: str, amount: str, *, ours: str | None = None, expires_at: datetime | None = None, only: str = BOTH
    ) -> None:
        """Money comes in a second from now; `ours` is what our book says of it where that is something else."""
        self.clock.advance(timedelta(seconds=1))
        if only != OURS:
            self.simulator.ledger.add_credit(kind, amount, expires_at=expires_at)
        if only != VENDORS:
            new = NewCredit("default", kind, parse_amount(ours or amount), None, self.clock.now(), expires_at, None)
            add_credit(self.engine, new, by="finance", home=Home(), now=self.clock.now())

    def call(self, *, hit: int = 0, miss: int = 0, output: int = 0, only: str = BOTH, **more: Any) -> None:
        """A call that completes now by the vendor's clock; `ahead` is by how much the caller's clock is ahead."""
        self.calls += 1
        now, ahead = self.clock.now(), more.pop("ahead", timedelta())
        if only != OURS:
            self._bill(now, hit, miss, output)
        if only != VENDORS:
            event = {"event_id": f"call-{self.calls}", "model": "deepseek-flash", "usage": usage(hit, miss, output)}
            event |= {"completed_at": format_instant(now + ahead), **more}
            if ahead:
                event["detail"] = {"clock_offset_seconds": -ahead.total_seconds()}
            self.record(event)

    def record(self, event: dict[str, Any]) -> None:
        tally = record_calls(
            self.engine, [Received(event, "line 1")], now=self.clock.now(), book=self.book, home=Home()
        )
        assert tally.accepted == 1, tally.refusals

    def post(self) -> None:
        post_charges(self.engine, "default", book=self.book, now=self.clock.now())

    def observe(self, *, posted: bool = True) -> Observation:
        """Ask the simulator for its balance and compare."""
        if posted:
            self.post()
        self.clock.advance(timedelta(seconds=1))
        return reconcile_balance(self.engine, "default", self.ask, book=self.book, clock=self.clock.now)

    def ask(self) -> object:
        headers = {"authorization": "Bearer sk-test-0123456789"}
        return httpx2.get(f"{self.simulator.base_url}/user/balance", headers=headers).json()

    def to(self, day: int, time: timedelta = OFF_PEAK) -> None:
        """Move the clock to a time of a day, counted from the first."""
        self.clock.set(BEGIN + timedelta(days=day) + time)

    def _bill(self, at: datetime, hit: int, miss: int, output: int) -> None:
        tariff = find_tariff("deepseek-flash", at)
        assert tariff is not None
        band = tariff.band_at(at)
        cost = tariff.rates["USD"][band].cost(cache_hit=hit, cache_miss=miss, output=output)
        bill = Bill(
            f"v-{self.calls}", "fp_0", "deepseek-flash", at, band, Usage(hit, miss, output), cost, False, None, None
        )
        self.simulator.ledger.charge(bill)


@contextmanager
def twin_books(engine: Engine, priced_by: PriceBook | None = None) -> Iterator[TwinBooks]:
    """Empty books on both sides."""
    clock = SimulatorClock(BEGIN)
    with Simulator(clock, topped_up="0") as simulator:
        yield TwinBooks(engine, simulator, clock, priced_by or book())


def wrong_book() -> PriceBook:
    """The built-in book with 1.30 instead of 1.20 for output at peak hours."""
    text = book().text
    right = r"output = \"1.20\""
    assert text.count(right) == 1
    return read_edition(text.replace(right, right.replace("1.20", "1.30")))
