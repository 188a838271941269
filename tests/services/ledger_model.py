"""The ledger of one account as it ought to be, in plain Python: integers, lists, and the order of spending as
tests/oracles.py tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple, cast

from costmeter.core.periods import format_instant
from costmeter.core.price_book import PriceBook
from tests.late_prices import with_new_model, with_other_rate
from tests.make import an_event, book
from tests.oracles import in_spending_order

START = datetime(2025, 3, 29, tzinfo=UTC)  # three days before the end of a month
MARCH = "2025-03"
MICRO = timedelta(microseconds=1)
# Rates of March 2025 at standard and off-peak hours, hit, miss and output, in 10^-12 USD a token.
RATES = {
    "deepseek-chat": ((70_000, 270_000, 1_100_000), (35_000, 135_000, 550_000)),
    "deepseek-reasoner": ((140_000, 550_000, 2_190_000), (35_000, 135_000, 550_000)),
}
# Credits start and end at few edges, and calls complete at them and beside them: that is where mistakes are.
EDGES = [START + timedelta(hours=12 * n) for n in range(14)]
EDGES += [START + timedelta(days=2, hours=16), START + timedelta(days=3, hours=16, minutes=30)]  # April in Shanghai
INSTANTS = sorted(edge + offset for edge in EDGES for offset in (-MICRO, timedelta(), MICRO))
# Editions of the price book that follow each other: what they say otherwise than the first.
BOOKS: list[tuple[Callable[[], PriceBook], dict[str, Any]]] = [
    (book, {}),
    (with_new_model, {"deepseek-9": ((100_000, 1_000_000, 2_000_000),) * 2}),
    (with_other_rate, {"deepseek-chat": ((70_000, 270_000, 1_500_000), RATES["deepseek-chat"][1])}),
]


class Call(NamedTuple):
    event_id: str
    model: str
    completed_at: datetime
    tokens: tuple[int, int, int]

    def body(self, account: str) -> dict[str, Any]:
        hit, miss, output = self.tokens
        at = format_instant(self.completed_at)
        return an_event(self.event_id, at, model=self.model, account=account, hit=hit, miss=miss, output=output)

    def cost(self, number: int = 0) -> int | None:
        """Off-peak from 16:30 up to 00:30 UTC; None where the book of that number has no price."""
        return self.price(number)[0]

    def price(self, number: int) -> tuple[int | None, int | None]:
        """The cost, and what it would be at standard hours."""
        rates = (RATES | BOOKS[number][1]).get(self.model)
        if rates is None:
            return None, None
        clock = self.completed_at.time()
        is_off_peak = clock >= time(16, 30) or clock < time(0, 30)
        standard, off_peak = (sum(r * n for r, n in zip(band, self.tokens, strict=True)) for band in rates)
        return (off_peak if is_off_peak else standard), standard


def in_canonical_order(calls: Sequence[Call]) -> list[Call]:
    return sorted(calls, key=lambda call: (call.completed_at, call.event_id))


class Posted(NamedTuple):
    call: Call
    taken: dict[int, int]
    overdraft: int
    untracked: int
    book: int  # the number of the price book that it was charged by


class Model:
    """The ledger of one account as it ought to be."""

    def __init__(self) -> None:
        self.credits: list[dict[str, Any]] = []
        self.left: dict[int, int] = {}
        self.pending: list[Call] = []
        self.posted: list[Posted] = []
        self.repaid: list[tuple[int, int]] = []  # credit id, amount
        self.corrections: list[tuple[datetime, int]] = []  # downwards: from when on, and how much is owed
        self.to_owe: list[tuple[datetime, int]] = []  # those of them that a folding again has not come to
        self.book = 0
        self.newest = (START - timedelta(days=99), "")
        self.late: datetime | None = None  # the earliest call posted after a later one, and not folded again since

    def counts(self, credit: Mapping[str, Any], instant: datetime) -> bool:
        return credit["starts"] <= instant and not (credit["ends"] is not None and credit["ends"] <= instant)

    def owed(self) -> int:
        corrected = sum(amount for _, amount in self.corrections) - sum(amount for _, amount in self.to_owe)
        return sum(p.overdraft for p in self.posted) + corrected - sum(amount for _, amount in self.repaid)

    def first_affected(self, new: dict[str, Any]) -> datetime | None:
        """The earliest instant at which something posted would have come out otherwise."""
        order = [credit["id"] for credit in in_spending_order([*self.credits, new])]
        behind = set(order[order.index(new["id"]) + 1 :])
        starts = {credit["id"]: credit["starts"] for credit in self.credits}
        if new["kind"] == "topped_up" and any(starts[key] > new["starts"] for key, amount in self.repaid if amount):
            return cast("datetime", new["starts"])
        instants = []
        for posted in self.posted:
            at = posted.call.completed_at
            is_affected = self.counts(new, at) and (posted.overdraft or behind & set(posted.taken))
            if is_affected or (posted.untracked and new["starts"] <= at):
                instants.append(at)
        return min(instants, default=None)

    def add(self, credit: dict[str, Any], now: datetime) -> None:
        since = self.first_affected({**credit, "id": 10**9})
        self.credits.append(credit)
        self.left[credit["id"]] = credit["amount"]
        if since is not None:
            self.fold_again(since, now)
        self.repay(now)

    def post(self, now: datetime) -> int:
        calls = in_canonical_order(self.pending)
        for call in calls:
            self.charge(call, self.book)
            if (call.completed_at, call.event_id) < self.newest:
                self.late = min(self.late or call.completed_at, call.completed_at)
            self.newest = max(self.newest, (call.completed_at, call.event_id))
        self.pending = []
        self.repay(now)
        return len(calls)

    def charge(self, call: Call, number: int) -> None:
        cost = call.cost(number) or 0
        opening = min((credit["starts"] for credit in self.credits), default=None)
        self.to_owe = [one for one in self.to_owe if one[0] > call.completed_at]
        self.repay(call.completed_at)  # what is owed comes before a call that comes after a top-up
        if opening is None or call.completed_at < opening:
            self.posted.append(Posted(call, {}, 0, cost, number))
            return
        taken = {}
        for credit in in_spending_order(self.credits):
            part = min(cost, self.left[credit["id"]])
            if part and self.counts(credit, call.completed_at):
                taken[credit["id"]] = part
                self.left[credit["id"]] -= part
                cost -= part
        self.posted.append(Posted(call, taken, cost, 0, number))

    def fold_again(self, since: datetime, now: datetime) -> None:
        """Forget how the calls from an instant on were paid, and what younger top-ups repaid; then charge them anew."""
        again = {posted.call: posted.book for posted in self.posted if posted.call.completed_at >= since}
        self.posted = [posted for posted in self.posted if posted.call.completed_at < since]
        standing = {credit["id"] for credit in self.credits if credit["starts"] <= since}
        self.repaid = [(key, amount) for key, amount in self.repaid if key in standing]
        for credit in self.credits:
            gave = sum(posted.taken.get(credit["id"], 0) for posted in self.posted)
            gave += sum(amount for key, amount in self.repaid if key == credit["id"])
            self.left[credit["id"]] = credit["amount"] - gave
        self.to_owe = [one for one in self.corrections if one[0] >= since]
        for credit in reversed(in_spending_order(self.credits)):  # what repaid a correction that comes later
            repaid = sum(amount for key, amount in self.repaid if key == credit["id"])
            if (back := min(-self.owed(), repaid)) > 0:
                self.repaid.append((credit["id"], -back))
                self.left[credit["id"]] += back
        for call in in_canonical_order([*again]):
            self.charge(call, again[call])
        self.to_owe = []
        self.repay(now)
        if self.late is not None and self.late >= since:
            self.late = None

    def correct(self, amount: int, at: datetime, now: datetime) -> None:
        """By so much the topped-up balance is lower from an instant on."""
        self.corrections.append((at, amount))
        self.newest = max(self.newest, (at, ""))  # a call of before it comes out of order too
        if any(posted.call.completed_at >= at for posted in self.posted):
            self.fold_again(at, now)
        self.repay(now)

    def void(self, credit: dict[str, Any], now: datetime) -> None:
        """As if it had never been given."""
        key, starts = credit["id"], credit["starts"]
        self.credits.remove(credit)
        opening = min((other["starts"] for other in self.credits), default=None)
        instants = []
        for posted in self.posted:
            at = posted.call.completed_at
            is_tracked_by_it = posted.overdraft and starts <= at and (opening is None or at < opening)
            if key in posted.taken or is_tracked_by_it:
                instants.append(at)
        if any(credit_id == key for credit_id, amount in self.repaid if amount):
            instants = [starts]
        if instants:
            self.fold_again(min(instants), now)
        self.left[key] = 0
        self.repay(now)

    def reprice(self, month_of_call: Callable[[Call], str], now: datetime) -> int:
        """Every call that the present book prices otherwise, month by month; returns how many that were."""
        count = 0
        for month in sorted({month_of_call(posted.call) for posted in self.posted}):
            changed = {
                posted.call
                for posted in self.posted
                if month_of_call(posted.call) == month
                and posted.call.price(posted.book) != posted.call.price(self.book)
            }
            if changed:
                count += len(changed)
                self.posted = [p._replace(book=self.book) if p.call in changed else p for p in self.posted]
                self.fold_again(min(call.completed_at for call in changed), now)
        return count

    def repay(self, now: datetime) -> None:
        for credit in in_spending_order(self.credits):
            part = min(self.owed(), self.left[credit["id"]])
            if part > 0 and credit["kind"] == "topped_up" and credit["starts"] <= now:
                self.left[credit["id"]] -= part
                self.repaid.append((credit["id"], part))

    def balance(self, at: datetime) -> tuple[int, int]:
        """What credits in effect had left after all that happened until then, overdraft taken off the topped up."""
        has = {"granted": 0, "topped_up": 0}
        for credit in self.credits:
            if self.counts(credit, at):
                spent = sum(p.taken.get(credit["id"], 0) for p in self.posted if p.call.completed_at <= at)
                spent += sum(amount for credit_id, amount in self.repaid if credit_id == credit["id"])
                has[credit["kind"]] += credit["amount"] - spent
        owed = sum(p.overdraft for p in self.posted if p.call.completed_at <= at)
        owed += sum(amount for instant, amount in self.corrections if instant <= at)
        starts = {credit["id"]: credit["starts"] for credit in self.credits}
        owed -= sum(amount for credit_id, amount in self.repaid if starts[credit_id] <= at)
        return has["granted"], has["topped_up"] - owed

    def left_at(self, now: datetime) -> tuple[int, int]:
        """What is left of all credits that have not expired by now, of those to come too, less what is owed."""
        left = {"granted": 0, "topped_up": 0}
        for credit in self.credits:
            if credit["ends"] is None or credit["ends"] > now:
                left[credit["kind"]] += self.left[credit["id"]]
        return left["granted"], left["topped_up"] - self.owed()

    def parts(self, posted: Posted) -> tuple[int, int, int, int]:
        kinds = {credit["id"]: credit["kind"] for credit in self.credits}
        paid = {"granted": 0, "topped_up": 0}
        for credit_id, amount in posted.taken.items():
            paid[kinds[credit_id]] += amount
        return paid["granted"], paid["topped_up"], posted.overdraft, posted.untracked
