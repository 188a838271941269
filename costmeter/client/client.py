"""A client of the service for scripts: typed answers, requests sent again where that is safe, lists without pages.

    with Client("https://costmeter.example", api_key="cm_...") as client:
        client.record(events)
        client.report(month="2026-11", by=["project"])

Amounts are decimal strings with all their digits, as the service writes them.
"""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote as in_path

import msgspec

from costmeter.client.answers import (
    Account,
    Balance,
    Call,
    Credit,
    Entry,
    Forecast,
    Item,
    Quote,
    Recorded,
    Reservation,
    Spend,
)
from costmeter.core.errors import OverBudgetError, ServiceError, SetupError
from costmeter.store.keys import new_id

T = TypeVar("T")
TRIES = 5  # of a request that may be sent again
TIMEOUT = 60.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
PAGE = 1_000
_AGAIN = (429, 502, 503, 504)


class Client:
    """A client of one service. Raises ServiceError for what the service refuses, and where it cannot be reached.

    What is read, and what the service counts once however often it comes, is sent up to `tries` times, with growing
    pauses or after the Retry-After of the answer. Not to be shared by processes; threads may share it.
    """

    def __init__(self, url: str, *, api_key: str, timeout: float = TIMEOUT, tries: int = TRIES) -> None:
        try:
            import httpx2
        except ModuleNotFoundError as error:
            raise SetupError(f"{error}; install it with: pip install 'costmeter[client]'") from error
        headers = {"Authorization": f"Bearer {api_key}", "Accept-Encoding": "gzip"}
        self._http = httpx2.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout)
        self._failed, self._tries = httpx2.TransportError, tries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def record(self, events: Iterable[Mapping[str, Any]]) -> Recorded:
        """Records usage events; the answer comes when they are committed. Sent again, they count once."""
        lines = b"\n".join(map(msgspec.json.encode, events))
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        return self._ask("POST", "/v1/events", Recorded, content=gzip.compress(lines, 1, mtime=0), headers=headers)

    def events(self, account: str | None = None, **where: str) -> Iterator[Call]:
        """The calls of an account, the last that came first; `where` is project, status, from or to."""
        return self._pages("/v1/events", Call, {"account": account, **where})

    def event(self, event_id: str, account: str | None = None) -> Call:
        """One call, its charge line by line."""
        return self._ask("GET", f"/v1/events/{_name(event_id)}", Call, params={"account": account})

    def quote(
        self,
        *,
        model: str,
        completed_at: str,
        usage: Mapping[str, Any],
        currency: str = "USD",
        started_at: str | None = None,
    ) -> Quote:
        """The price of one call; nothing is recorded."""
        asked = {"model": model, "completed_at": completed_at, "usage": usage, "currency": currency}
        return self._ask("POST", "/v1/quote", Quote, json={**asked, "started_at": started_at})

    def accounts(self) -> Iterator[Account]:
        """The accounts that the key may see, by name."""
        return self._pages("/v1/accounts", Account, {})

    def add_account(self, account: str, *, currency: str | None = None, timezone: str | None = None) -> Account:
        """Adds an account, once."""
        asked = {"account": account, "currency": currency, "timezone": timezone}
        return self._ask("POST", "/v1/accounts", Account, json=asked)

    def add_credit(
        self,
        account: str,
        *,
        kind: str,
        amount: str,
        currency: str | None = None,
        effective_at: str | None = None,
        expires_at: str | None = None,
        reference: str | None = None,
    ) -> Credit:
        """Adds a credit: with a reference once, without one each time this is called, and never twice for one call."""
        asked = {"kind": kind, "amount": amount, "currency": currency, "effective_at": effective_at}
        asked |= {"expires_at": expires_at, "reference": reference}
        headers = {"Idempotency-Key": new_id()}
        return self._ask("POST", f"/v1/accounts/{_name(account)}/credits", Credit, json=asked, headers=headers)

    def credits(self, account: str) -> Iterator[Credit]:
        """An account's credits with what each has left."""
        return self._pages(f"/v1/accounts/{_name(account)}/credits", Credit, {})

    def balance(self, account: str, *, at: str | None = None, known_at: str | None = None) -> Balance:
        """What an account has, or had."""
        params = {"at": at, "known_at": known_at}
        return self._ask("GET", f"/v1/accounts/{_name(account)}/balance", Balance, params=params)

    def ledger(self, account: str) -> Iterator[Entry]:
        """The journal of an account, from its first entry on."""
        return self._pages(f"/v1/accounts/{_name(account)}/ledger", Entry, {})

    def report(self, *, by: Sequence[str] | None = None, where: Sequence[str] = (), **asked: str) -> Spend:
        """A spend report; `asked` is month, or from and to, and account, currency, timezone, known_at."""
        params: dict[str, Any] = {**asked, "where": list(where)}
        return self._ask("GET", "/v1/reports/spend", Spend, params=params | ({"by": ",".join(by)} if by else {}))

    def forecast(self, account: str | None = None, *, where: Sequence[str] = (), **asked: str) -> Forecast:
        """What a month will come to and how long the balance lasts; `asked` is month and unit."""
        params = {**asked, "account": account, "where": list(where)}
        return self._ask("GET", "/v1/reports/forecast", Forecast, params=params)

    def export_charges(self, out: IO[bytes] | Path, **asked: str) -> int:
        """Writes the charges as CSV; returns how many bytes. A file that breaks off raises, and leaves no file."""
        if isinstance(out, Path):
            part = out.with_name(f".{out.name}.part")
            try:
                with part.open("wb") as opened:
                    count = self.export_charges(opened, **asked)
                part.replace(out)
            finally:
                part.unlink(missing_ok=True)
            return count
        count = 0
        try:
            with self._http.stream("GET", "/v1/exports/charges", params=asked) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _refusal(answer)
                for block in answer.iter_bytes():
                    count += out.write(block)
        except self._failed as error:
            raise ServiceError(f"the export broke off after {count:,} bytes: {error}") from error
        return count

    def quarantine(self, account: str | None = None, state: str = "open") -> Iterator[Item]:
        """What could not be used, newest first."""
        return self._pages("/v1/quarantine", Item, {"account": account, "state": state})

    def reserve(
        self,
        *,
        cost: str,
        tokens: int,
        account: str | None = None,
        event_id: str | None = None,
        seconds: int | None = None,
        **scope: Any,
    ) -> Reservation:
        """Asks whether a call may be made and holds back what it may cost; OverBudgetError where a budget refuses it.

        `scope` is project, user, api_key, model, tags and currency. With the call's own event id its charge ends the
        reservation; without it one is made up, so that a request that is sent again reserves once.
        """
        asked = {"cost": cost, "tokens": tokens, "event_id": event_id or new_id(), **scope}
        asked |= {name: value for name, value in (("account", account), ("seconds", seconds)) if value is not None}
        return self._ask("POST", "/v1/reservations", Reservation, json=asked)

    def settle(self, reservation: Reservation) -> Reservation:
        """Ends a reservation whose spending is posted, once; nothing is asked for one that has no id."""
        return self._end(reservation, "settle")

    def release(self, reservation: Reservation) -> Reservation:
        """Gives a reservation back of which nothing was spent, once; nothing is asked for one that has no id."""
        return self._end(reservation, "release")

    def reservations(self, account: str | None = None, state: str | None = None) -> Iterator[Reservation]:
        """The reservations of an account, newest first; of one state, if asked."""
        return self._pages("/v1/reservations", Reservation, {"account": account, "state": state})

    def _end(self, reservation: Reservation, how: str) -> Reservation:
        if reservation.reservation_id is None:
            return reservation
        path = f"/v1/reservations/{_name(reservation.reservation_id)}/{how}"
        return self._ask("POST", path, Reservation, params={"account": reservation.account})

    def _pages(self, path: str, kind: type[T], params: dict[str, str | None]) -> Iterator[T]:
        """Every row of a list, page after page as they are wanted."""
        cursor = None
        while True:
            asked = {**params, "cursor": cursor, "limit": PAGE}
            page = self._ask("GET", path, dict[str, msgspec.Raw], params=asked)
            yield from msgspec.json.decode(page["data"], type=list[kind])  # type: ignore[valid-type]  # of a kind known then
            cursor = msgspec.json.decode(page["next_cursor"])
            if cursor is None:
                return

    def _ask(self, method: str, path: str, kind: type[T], **request: Any) -> T:
        """The answer to a request that may be sent again."""
        if "params" in request:
            request["params"] = {name: value for name, value in request["params"].items() if value is not None}
        if "json" in request:
            request["content"] = msgspec.json.encode(request.pop("json"))
            request["headers"] = {"Content-Type": "application/json", **request.get("headers", {})}
        answer = self._answer(lambda: self._http.request(method, path, **request))
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise ServiceError(f"{method} {path} answers something else than costmeter: {error}") from error

    def _answer(self, send: Callable[[], Any]) -> Any:
        for attempt in range(self._tries):
            is_last = attempt == self._tries - 1
            try:
                answer = send()
            except self._failed as error:
                if is_last:
                    raise ServiceError(f"{self._http.base_url} cannot be reached: {error}") from error
                _pause(attempt, None)
                continue
            if answer.is_success:
                return answer
            if answer.status_code not in _AGAIN or is_last:
                raise _refusal(answer)
            _pause(attempt, answer.headers.get("retry-after"))
        raise AssertionError("unreachable: the last attempt returns or raises")


def _pause(attempt: int, asked: str | None) -> None:
    """Waits as long as the answer asks, else ever longer, and each client otherwise."""
    seconds = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.5)
    if asked is not None and asked.isdecimal():
        seconds = min(float(asked), LONGEST_PAUSE)
    time.sleep(seconds)


def _refusal(answer: Any) -> ServiceError:
    """What a service says of a request that it refuses."""
    try:
        said = answer.json()
        if said["type"] == "/problems/over-budget":
            after = answer.headers.get("retry-after")
            return OverBudgetError(said["detail"], said["refused_by"], None if after is None else int(after))
        return ServiceError(said["detail"], status=answer.status_code, kind=said["type"], field=said.get("field"))
    except (ValueError, KeyError, TypeError):
        return ServiceError(
            f"the server answers {answer.status_code}, and no problem of costmeter's", status=answer.status_code
        )


def _name(name: str) -> str:
    return in_path(name, safe="")
