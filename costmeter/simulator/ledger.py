"""The simulator's own books: one account, its credits, and what each call cost."""

from __future__ import annotations

import threading
from datetime import datetime

from costmeter.simulator.bills import Bill, PaidBill
from costmeter.simulator.clock import Clock
from costmeter.simulator.credits import Balance, Credits
from costmeter.simulator.errors import BadInputError
from costmeter.simulator.instants import format_instant
from costmeter.simulator.money import CURRENCIES, format_amount, parse_amount

GRANTED, TOPPED_UP = KINDS = ("granted", "topped_up")


class Ledger:
    """Exact and safe to use from any thread; every key of the simulator spends from this one account."""

    def __init__(self, clock: Clock, *, currency: str = "USD") -> None:
        if currency not in CURRENCIES:
            raise BadInputError("currency", currency, f"choose {' or '.join(CURRENCIES)}")
        self.currency = currency
        self._clock = clock
        self._lock = threading.Lock()
        self._credits = Credits()
        self._paid: list[PaidBill] = []

    def add_credit(self, kind: str, amount: str, *, expires_at: datetime | None = None) -> None:
        """Money comes in now. Only a grant can expire: "Your topped-up balance will not expire" (DeepSeek's FAQ)."""
        if kind not in KINDS:
            raise BadInputError("kind", kind, f"choose {' or '.join(KINDS)}")
        units = parse_amount(amount, "amount")
        if units == 0:
            raise BadInputError("amount", amount, "a credit is more than 0")
        self._check_expiry(kind, expires_at)
        with self._lock:
            if kind == GRANTED:
                self._credits.grant(units, expires_at)
            else:
                self._credits.top_up(units)

    def charge(self, bill: Bill) -> PaidBill:
        """Takes the cost of a completed call from the credits; it is never refused."""
        with self._lock:
            paid = PaidBill(bill, self._credits.spend(bill.cost, bill.completed_at))
            self._paid.append(paid)
        return paid

    def balance(self) -> Balance:
        """What is there now: a grant is gone from the instant at which it expires."""
        now = self._clock.now()
        with self._lock:
            return self._credits.balance(now)

    @property
    def calls(self) -> tuple[PaidBill, ...]:
        """In the order in which they were charged."""
        with self._lock:
            return tuple(self._paid)

    def as_json(self) -> dict[str, object]:
        """One moment of the whole account, amounts as exact decimal strings."""
        now = self._clock.now()
        with self._lock:
            balance, paid = self._credits.balance(now), tuple(self._paid)
        return {
            "currency": self.currency,
            **balance.as_json(),
            "charged": format_amount(sum(call.bill.cost for call in paid)),
            "calls": [call.as_json() for call in paid],
        }

    def _check_expiry(self, kind: str, expires_at: datetime | None) -> None:
        if expires_at is None:
            return
        if kind != GRANTED:
            raise BadInputError("expires_at", format_instant(expires_at), "leave it out; only granted credits expire")
        now = self._clock.now()
        if expires_at <= now:
            raise BadInputError("expires_at", format_instant(expires_at), f"choose one after {format_instant(now)}")
