"""What a call cost, told with its answer where that is known in time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from costmeter.core.errors import CostmeterError
from costmeter.core.events import OK
from costmeter.core.money import format_amount
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, price_usage
from costmeter.core.usage import read_usage
from costmeter.gateway.refusals import Header
from costmeter.recorder.call import Call
from costmeter.recorder.record import completion

KNOWN_ACCOUNTS, KNOWN_MODELS = 10_000, 1_000
PAUSE = 10.0  # seconds before a database that did not answer is asked again

logger = logging.getLogger("costmeter.gateway")


class Costs:
    """Prices calls by the book, each in the currency of its account, which is asked for once.

    `currency_of` may block, and the timeline of a model's prices takes a while to be worked out: both are done in
    another thread, and the first calls of an account and of a model go without their cost.
    """

    def __init__(self, book: PriceBook, currency_of: Callable[[str], str]) -> None:
        self._book = book
        self._currency_of = currency_of
        self._currencies: dict[str, str | None] = {}  # None: it is being asked for
        self._ask_again_at = 0.0
        self._timelines: dict[tuple[str, str], bool] = {}  # of models and currencies: whether they are worked out
        self._working = ThreadPoolExecutor(1, "costmeter-costs")

    def headers(self, call: Call, account: str) -> list[Header]:
        """Cost and currency of a call that is over; none where it has no price, or the currency is not known yet."""
        ended = call.result
        if ended is None or ended.status != OK or ended.model is None:
            return []
        currency = self._currency(account)
        if currency is None or not self._has_timeline(ended.model, currency):
            return []
        try:
            priced = price_usage(
                self._book,
                model=ended.model,
                usage=read_usage(ended.usage),
                started_at=call.started_at,
                completed_at=completion(call.started_at, ended.elapsed),
                currency=currency,
            )
        except CostmeterError:
            return []  # the record says what is wrong with it
        if not isinstance(priced, Charge):
            return []
        return [
            (b"x-costmeter-cost", format_amount(priced.total).encode()),
            (b"x-costmeter-currency", currency.encode()),
        ]

    def close(self) -> None:
        self._working.shutdown(wait=False, cancel_futures=True)

    def _has_timeline(self, model: str, currency: str) -> bool:
        key = (model, currency)
        if key not in self._timelines and len(self._timelines) < KNOWN_MODELS:  # what answers name is not ours to bound
            self._timelines[key] = False
            self._working.submit(self._work_out, key)
        return self._timelines.get(key, False)

    def _work_out(self, key: tuple[str, str]) -> None:
        self._book.timeline(*key)
        self._timelines[key] = True

    def _currency(self, account: str) -> str | None:
        if account not in self._currencies and time.monotonic() >= self._ask_again_at:
            if len(self._currencies) >= KNOWN_ACCOUNTS:
                self._currencies.clear()
            self._currencies[account] = None
            self._working.submit(self._ask, account)
        return self._currencies.get(account)

    def _ask(self, account: str) -> None:
        try:
            self._currencies[account] = self._currency_of(account)
        except Exception as error:  # noqa: BLE001 - whatever keeps the database from answering, calls go on
            logger.warning("the currency of an account cannot be asked for: %s", type(error).__name__)
            self._ask_again_at = time.monotonic() + PAUSE
            self._currencies.pop(account, None)
