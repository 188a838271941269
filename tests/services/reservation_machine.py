"""A state machine of reservations on a real database: reserved, ended, posted and expired in whatever order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine

from costmeter.core.periods import format_instant
from costmeter.core.reservations import EXPIRED, OPEN, RELEASED, SETTLED, Refusal
from costmeter.services.expire_reservations import expire_reservations
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.reserve import Ask, reserve
from costmeter.services.settle_reservation import release_reservation, settle_reservation
from costmeter.services.verify import verify
from costmeter.store import budget_periods, reservations
from costmeter.store.engine import reading
from tests.make import MILLION, an_event, at, post, record, usd
from tests.services.reserving import a_budget

START = datetime(2025, 3, 30, 22, tzinfo=UTC)  # a Sunday: a day, a week and a month end soon
FIRST = "2025-03-01T00:00:00Z"
# What stops a project's calls: whose they are (None: everybody's), its period, its unit, its amount.
BUDGETS = {
    1: (None, "month", "USD", usd("5.00")),
    2: ("p", "day", "USD", usd("2.00")),
    3: (None, "week", "tokens", 4 * MILLION),
}
_numbers = count()
Key = tuple[int, datetime]


@dataclass
class Held:
    """What the model knows of a reservation."""

    ask: Ask
    parts: dict[Key, int]
    expires_at: datetime
    reservation_id: bytes | None
    state: str = OPEN


@dataclass
class Model:
    """Budgets as plain sums, with the rules said in the fewest words."""

    held: list[Held] = field(default_factory=list)
    spent: Counter[Key] = field(default_factory=Counter)
    waiting: dict[str, tuple[str | None, datetime, int]] = field(default_factory=dict)

    @property
    def reserved(self) -> Counter[Key]:
        sums: Counter[Key] = Counter()
        for one in self.held:
            if one.state == OPEN:
                sums.update(one.parts)
        return sums

    def refusing(self, parts: dict[Key, int]) -> Key | None:
        """The first that has not enough left."""
        reserved = self.reserved
        for key in sorted(parts):
            if self.spent[key] + reserved[key] + parts[key] > BUDGETS[key[0]][3]:
                return key
        return None

    def expire(self, now: datetime) -> int:
        gone = [one for one in self.held if one.state == OPEN and one.expires_at <= now]
        gone = [one for one in gone if one.ask.event_id not in self.waiting]
        for one in gone:
            one.state = EXPIRED
        return len(gone)

    def post(self) -> None:
        for event_id, (project, completed_at, output) in self.waiting.items():
            for number, (whose, per, unit, _) in BUDGETS.items():
                if whose in (None, project):
                    amount = output if unit == "tokens" else output * rate(completed_at)
                    self.spent[number, period_start(per, completed_at)] += amount
            for one in self.held:
                if one.ask.event_id == event_id and one.state == OPEN:
                    one.state = SETTLED
        self.waiting = {}


def rate(completed_at: datetime) -> int:
    """Of an output token of deepseek-chat in spring 2025: half from 16:30 to 00:30."""
    is_day = time(0, 30) <= completed_at.time() < time(16, 30)
    return usd("0.0000011") if is_day else usd("0.00000055")


def period_start(per: str, instant: datetime) -> datetime:
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    if per == "week":
        return midnight - timedelta(days=midnight.weekday())
    return midnight.replace(day=1) if per == "month" else midnight


def parts_of(project: str | None, cost: int, tokens: int, now: datetime, expires_at: datetime) -> dict[Key, int]:
    """No period is shorter than a reservation may last: it is in the first and last instant's."""
    instants = (now, expires_at - timedelta(microseconds=1))
    return {
        (number, period_start(per, instant)): tokens if unit == "tokens" else cost
        for number, (whose, per, unit, _) in BUDGETS.items()
        if whose in (None, project)
        for instant in instants
    }


class ReservationMachine(RuleBasedStateMachine):
    """One account with three budgets that stop, one that warns, and holders that come, go and never come back."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine, self.account = engine, f"account-{next(_numbers)}"
        self.now, self.model, self.calls = START, Model(), 0

    @initialize()
    def make_budgets(self) -> None:
        for number, (whose, per, unit, amount) in BUDGETS.items():
            more: dict[str, Any] = {"per": per, "where": [f"project={whose}"] if whose else []}
            more |= {"tokens": amount} if unit == "tokens" else {"amount": f"{amount / 10**12:.2f}"}
            made = a_budget(self.engine, f"b{number}", account=self.account, starts_at=at(FIRST), **more)
            assert made.number == number
        a_budget(self.engine, "warns", account=self.account, starts_at=at(FIRST), amount="0.01", stops=False)

    @rule(
        cost=st.sampled_from(["0.00", "0.30", "1.00", "1.999999999999", "2.00"]),
        tokens=st.sampled_from([0, 1, MILLION, 3 * MILLION]),
        project=st.sampled_from(["p", "q", None]),
        lasts=st.sampled_from([1, 35, 600, 1_440]),
        is_named=st.booleans(),
    )
    def reserve(self, cost: str, tokens: int, project: str | None, lasts: int, is_named: bool) -> None:
        self.calls += is_named
        event_id, lifetime = f"call-{self.calls}" if is_named else None, timedelta(minutes=lasts)
        ask = Ask(
            self.account, usd(cost), tokens, "o", project=project, event_id=event_id, lifetime=lifetime
        )  # fmt: skip
        self.ask(ask)

    def ask(self, ask: Ask) -> None:
        found, expires_at = reserve(self.engine, ask, now=self.now), self.now + ask.lifetime
        parts = parts_of(ask.project, ask.cost, ask.tokens, self.now, expires_at)
        refusing = self.model.refusing(parts)
        if refusing is not None:  # what has expired is ended before anybody is refused
            self.model.expire(self.now)
            refusing = self.model.refusing(parts)
        if refusing is None:
            assert not isinstance(found, Refusal)
            self.model.held.append(Held(ask, parts, expires_at, found.reservation_id))
            return
        assert isinstance(found, Refusal)
        assert (found.budget.number, found.period.start) == refusing
        assert (found.spent, found.reserved) == (self.model.spent[refusing], self.model.reserved[refusing])
        assert found.left < found.asked == parts[refusing]

    @precondition(lambda self: any(one.ask.event_id for one in self.model.held))
    @rule(data=st.data())
    def reserve_again(self, data: st.DataObject) -> None:
        """The same while it is open or was settled; anew after it was given back."""
        asks = {one.ask.event_id: one.ask for one in self.model.held if one.ask.event_id}
        ask = asks[data.draw(st.sampled_from(sorted(asks)))]
        standing = [one for one in self.model.held if one.ask == ask and one.state in (OPEN, SETTLED)]
        if not standing:
            self.ask(ask)
            return
        found = reserve(self.engine, ask, now=self.now)
        assert not isinstance(found, Refusal)
        assert (found.reservation_id, found.state) == (standing[0].reservation_id, standing[0].state)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), is_settled=st.booleans())
    def end(self, data: st.DataObject, is_settled: bool) -> None:
        one = data.draw(st.sampled_from(self.model.held))
        how, state = (settle_reservation, SETTLED) if is_settled else (release_reservation, RELEASED)
        ended = how(self.engine, self.account, one.reservation_id or b"", now=self.now)
        assert ended.is_new == (one.state == OPEN)
        if ended.is_new:
            one.state = state
        assert ended.reservation.state == one.state

    @rule(data=st.data(), output=st.sampled_from([1, 300_000, MILLION, 2 * MILLION]), is_posted=st.booleans())
    def call(self, data: st.DataObject, output: int, is_posted: bool) -> None:
        """A call that reserved, or one that nobody asked for, comes in; perhaps it waits to be posted."""
        known = {one.ask.event_id: one.ask.project for one in self.model.held if one.ask.event_id and one.state == OPEN}
        known = {event_id: project for event_id, project in known.items() if event_id not in self.model.waiting}
        self.calls += 1
        event_id, project = data.draw(st.sampled_from([(f"call-{self.calls}", "p"), *known.items()]))
        body = an_event(event_id, format_instant(self.now), output=output, account=self.account, project=project)
        assert record(self.engine, body, now=format_instant(self.now)).accepted == 1
        self.model.waiting[event_id or ""] = project, self.now, output
        if is_posted:
            self.post()

    @rule()
    def post(self) -> None:
        post(self.engine, self.account, format_instant(self.now))
        self.model.post()

    @rule()
    def sweep(self) -> None:
        assert expire_reservations(self.engine, now=self.now) >= self.model.expire(self.now)  # of other runs too

    @rule(minutes=st.sampled_from([1, 34, 35, 120, 600, 1_440, -10]))
    def step_the_clock(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def rebuild(self) -> None:
        rebuild_projections(self.engine, [self.account])

    @invariant()
    def it_is_what_the_model_says(self) -> None:
        with reading(self.engine) as connection:
            kept = budget_periods.of_account(connection, self.account)
            made = reservations.newest(connection, self.account, None, limit=1_000)
        assert {one.reservation_id: one.state for one in made} == {
            one.reservation_id: one.state for one in self.model.held
        }
        stopping = {(key.number, key.starts_at): row for key, row in kept.items() if key.number in BUDGETS}
        assert {key: row.reserved for key, row in stopping.items() if row.reserved} == +self.model.reserved
        assert {key: row.spent for key, row in stopping.items() if row.spent} == +self.model.spent
        assert [row.reserved for key, row in kept.items() if key.number not in BUDGETS and row.reserved] == []

    def teardown(self) -> None:
        assert verify(self.engine, [self.account], full=True) == []
        self.post()
        self.now += timedelta(days=2)
        self.sweep()
        assert not +self.model.reserved
        self.it_is_what_the_model_says()
