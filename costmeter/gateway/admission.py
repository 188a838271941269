"""Admission: before a call is made, what it may cost is held back of the budgets that stop it, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sqlalchemy import Engine

from costmeter.core.bounds import Bound, Unbounded, bound_call
from costmeter.core.errors import InputError, SetupError
from costmeter.core.events import DEFAULT_ACCOUNT, FAILED, OK, read_attribution
from costmeter.core.price_book import PriceBook
from costmeter.core.reservations import Refusal, Reservation
from costmeter.gateway.asked import Asked, read_asked
from costmeter.gateway.estimates import Estimates
from costmeter.gateway.patience import PATIENCE, SQLITE_PATIENCE, AwayError, Database
from costmeter.gateway.stopped import Stopped
from costmeter.gateway.stopping_words import database_away, no_bound, over_budget
from costmeter.recorder.attribution import Attribution
from costmeter.recorder.call import Call
from costmeter.services.reserve import Ask, Stops, reserve
from costmeter.services.settle_reservation import release_reservation
from costmeter.settings import Settings
from costmeter.store.keys import new_id

OWNER = "gateway"  # of its reservations


class Terms(NamedTuple):
    """On which terms calls are admitted."""

    mode: Literal["soft", "hard"]  # what is held back: what a call is expected to cost, or the most that it can
    of_balance: bool = False  # whether the account's balance has to cover it, too
    database_away: Literal["open", "closed"] = "open"  # whether calls go through that nobody can be asked for


_Answer = Reservation | Refusal | Unbounded | None


class Held(NamedTuple):
    """A call that was admitted: the event id that it is to be recorded under, and its reservation, perhaps to come.

    `is_unasked` where it goes through though the database is away.
    """

    event_id: str
    account: str
    found: Future[_Answer] | None
    is_unasked: bool = False


class Admission:
    """Admits calls on terms."""

    def __init__(self, database: Database, book: PriceBook, terms: Terms, now: Callable[[], datetime]) -> None:
        self._database = database
        self._book = book
        self._terms = terms
        self._now = now
        self._stopped = Stopped(database, of_balance=terms.of_balance)
        self._estimates = Estimates(book)

    @property
    def is_away(self) -> bool:
        """Whether the database has not answered for a while."""
        return self._database.is_away

    async def start(self) -> None:
        """Opens the database, where it is there."""
        await self._database.start()

    def visit(self, said: Attribution, path: bytes, body: bytes) -> Visit:
        """The attempts at a call that one request leads to."""
        return Visit(self, said, path, body)

    async def admit(self, said: Attribution, path: bytes, body: bytes) -> Held | None:
        """Holds back what a call may cost; None where nothing stops it.

        Raises RefusedCallError where it is not covered. Where the caller leaves meanwhile, nothing is held.
        """
        event_id, now = new_id(), self._now()
        account = said.account or DEFAULT_ACCOUNT
        held = Held(event_id, account, None)
        try:
            stops = await self._stopped.of(account)
            if stops is None:
                return None
            ask = Ask(account, 0, 0, OWNER, said.project, said.user, said.api_key, None, said.tags, event_id)
            asked = self._database.submit(lambda engine: self._ask(engine, ask, stops, (path, body), now))
            held = held._replace(found=asked)
            answer = await self._database.answer(asked)
        except AwayError:
            return self._unasked(held)
        except InputError as error:
            self._unusable(error)
            return None
        except BaseException:
            self._release(held)
            raise
        if isinstance(answer, Refusal):
            raise over_budget(answer, now, is_bound=self._terms.mode == "hard")
        if isinstance(answer, Unbounded):
            raise no_bound(answer.reason)
        return held

    def end(self, held: Held, call: Call | None) -> None:
        """A call that was admitted is over, or (None) was not made.

        One that was measured is settled by its charge. One that cost nothing gives back what it held. One that cost
        something that nobody knows holds it until it expires, where the most that it can cost was held.
        """
        ended = None if call is None else call.result
        if call is None or (ended is not None and ended.status == FAILED):
            self._release(held)
        elif ended is not None and ended.status == OK:
            self._estimates.learn(ended)
        elif self._terms.mode == "soft":
            self._release(held)

    def close(self) -> None:
        """Ends when everything that is to be given back is."""
        self._database.close()

    def _ask(self, engine: Engine, ask: Ask, stops: Stops, asked: tuple[bytes, bytes], now: datetime) -> _Answer:
        """In a thread: the reservation of what the call may cost, where anything stops it."""
        call = read_asked(*asked)
        ask = ask._replace(model=call.model, of_balance=self._terms.of_balance)
        if not ask.of_balance and not stops.matching(read_attribution(ask._asdict())):
            return None
        bound = self._bound(call, stops.currency, now)
        if not isinstance(bound, Bound):
            return bound
        return reserve(engine, ask._replace(cost=bound.cost, tokens=bound.tokens), now=now, stops=stops)

    def _bound(self, call: Asked, currency: str, now: datetime) -> Bound | Unbounded | None:
        """What is to be held back; None where a call of no known price is let through, as it adds nothing to a sum."""
        if self._terms.mode == "soft":
            return self._estimates.of(call, currency, now)
        return bound_call(
            self._book,
            call.fields,
            len(call.body),
            field=call.output_field,
            model=call.model or "",
            currency=currency,
            now=now,
        )

    def _unasked(self, held: Held) -> Held:
        """The database is away: the call goes through, and what it perhaps still holds ends with it; or it does not."""
        if self._terms.database_away == "open":
            return held._replace(is_unasked=True)
        self._release(held)
        raise database_away()

    def _unusable(self, error: InputError) -> None:
        """What is said of the call cannot be held against a budget."""
        if self._terms.mode == "hard":
            raise no_bound(str(error)) from error

    def _release(self, held: Held) -> None:
        """Gives back what a call holds, as soon as it is known; what has not been asked for yet never is."""
        if held.found is not None and not held.found.cancel():
            held.found.add_done_callback(lambda found: self._give_back(held.account, found))

    def _give_back(self, account: str, found: Future[_Answer]) -> None:
        if found.cancelled() or found.exception() is not None:
            return
        answer, now = found.result(), self._now()
        if isinstance(answer, Reservation) and answer.reservation_id is not None:
            key = answer.reservation_id
            with suppress(RuntimeError):  # the gateway has ended: it expires
                self._database.submit(lambda engine: release_reservation(engine, account, key, now=now))


class Visit:
    """The attempts of one request: each is admitted before it is made, and let go when it is over."""

    def __init__(self, admission: Admission, said: Attribution, path: bytes, body: bytes) -> None:
        self._admission = admission
        self._asked = (said, path, body)
        self._held: Held | None = None

    @property
    def is_unasked(self) -> bool:
        """Whether the present attempt goes through though the database is away."""
        return self._held is not None and self._held.is_unasked

    async def enter(self, last: Call | None) -> str | None:
        """The event id for an attempt; None where any will do. `last` is the attempt before it."""
        self.leave(last)
        self._held = await self._admission.admit(*self._asked)
        return None if self._held is None else self._held.event_id

    def leave(self, call: Call | None) -> None:
        """The attempt that was admitted is over."""
        held, self._held = self._held, None
        if held is not None:
            self._admission.end(held, call)


def open_admission(
    said: Settings, opened: Callable[[float], Engine], book: Callable[[], PriceBook]
) -> Admission | None:
    """What stops calls, as the settings say; None where nothing does. `opened` opens the database with a patience."""
    if said.gateway_stopping == "off":
        if said.gateway_stop_at_balance:
            raise SetupError("COSTMETER_GATEWAY_STOP_AT_BALANCE needs COSTMETER_GATEWAY_STOPPING=soft or hard")
        return None
    if said.server_url is not None:
        raise SetupError("COSTMETER_GATEWAY_STOPPING needs the database itself: unset COSTMETER_SERVER_URL")
    is_sqlite = said.database_url.startswith("sqlite")
    threads, patience = (1, SQLITE_PATIENCE) if is_sqlite else (8, PATIENCE)  # SQLite has one writer in any case
    database = Database(lambda: opened(patience), threads=threads, patience=patience)
    terms = Terms(said.gateway_stopping, said.gateway_stop_at_balance, said.gateway_database_away)
    return Admission(database, book(), terms, lambda: datetime.now(UTC))
