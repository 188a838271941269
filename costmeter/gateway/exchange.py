"""One request on its way to DeepSeek and the answer on its way back: nothing is held that could be passed on."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from typing import NamedTuple

from aiohttp import ClientConnectorError, ClientError, ClientResponse

from costmeter.gateway.headers import to_answer
from costmeter.gateway.refusals import Header, RefusedCallError, messages
from costmeter.gateway.requests import CallerGoneError, Receive, Request, Send
from costmeter.gateway.upstream import Content, Upstream
from costmeter.recorder.call import ANSWER_ID, Call
from costmeter.recorder.record import ending_of

logger = logging.getLogger("costmeter.gateway")

RETRIED = frozenset((429, 500, 502, 503))  # DeepSeek had no time, and nothing is billed
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before a further attempt
WHOLE = 1 << 20  # bytes of an answer whose cost is told in its head
_BROKEN = (ClientError, TimeoutError, OSError)  # what ends an answer before its end

Begin = Callable[[str | None], Awaitable[Call]]
Cost = Callable[[Call], Sequence[Header]]


class GatewayStoppedError(Exception):
    """The gateway ended while an answer was on its way."""


class Way(NamedTuple):
    """How answers come: from where, and what is done of ourselves."""

    upstream: Upstream
    drain: bool = False  # an answer whose caller has left is read to its end all the same, for its usage
    retries: int = 0  # further attempts at a call that DeepSeek had no time for


class Exchange:
    """A request and what its caller got: `status` is None until a response has begun."""

    def __init__(self, request: Request, send: Send) -> None:
        self.request = request
        self.call: Call | None = None  # the last attempt, where it is one
        self.status: int | None = None
        self.is_complete = False
        self.has_left = False
        self.is_unasked = False  # whether it went through though nobody could say that it is covered
        self.refused: RefusedCallError | None = None
        self._send = send

    async def refuse(self, refused: RefusedCallError) -> None:
        """Answers in DeepSeek's place."""
        self.refused, self.status, self.is_complete = refused, refused.status, True
        if self.call is not None:
            refused.headers = [*refused.headers, (ANSWER_ID, self.call.event_id.encode())]
        for message in messages(refused, self.request.path):
            await self._send(message)

    async def pass_on(self, way: Way, headers: Sequence[tuple[str, str]], content: Content) -> None:
        """Asks DeepSeek what is no call, and hands its answer on."""
        async with self._leaving(is_watched=content is None):  # else the body still comes that way
            answer = await self._ask(way, headers, content)
            with closing(answer):
                await self._hand_on(answer)

    async def call_for(
        self, way: Way, headers: Sequence[tuple[str, str]], content: bytes, begin: Begin, cost: Cost | None = None
    ) -> None:
        """Asks DeepSeek for a call, perhaps more than once, and hands its last answer on.

        Each attempt is a call of its own, which `begin` makes, given the operation that it belongs to. `cost` tells
        what one cost, in headers, where its answer is complete before its head has gone. A caller who
        leaves ends it at once, for DeepSeek, too, unless the answer is to be drained. Raises RefusedCallError where
        there is no answer, and CallerGoneError where nobody waits for it any more.
        """
        operation_id = None
        async with self._leaving(is_watched=not way.drain):
            for left in range(way.retries, -1, -1):
                self.call = await begin(operation_id)
                operation_id = self.call.operation_id
                try:
                    answer = await self._ask(way, headers, content)
                except RefusedCallError:
                    if not left:
                        raise
                    await asyncio.sleep(pause(way.retries - left))
                    continue
                with closing(answer):
                    if not left or answer.status not in RETRIED:
                        await self._hand_on(answer, cost)
                        return
                    await self._keep(answer)
                await asyncio.sleep(pause(way.retries - left, answer.headers.get("retry-after")))

    @asynccontextmanager
    async def _leaving(self, *, is_watched: bool) -> AsyncIterator[None]:
        """Ends what is done inside as soon as the caller is gone; a call that this ends has its record."""
        task = asyncio.current_task()
        assert task is not None
        watch = asyncio.create_task(_leave_when_gone(self.request.receive, task)) if is_watched else None
        try:
            yield
        except asyncio.CancelledError:
            if watch is None or not watch.done():
                self._broke(GatewayStoppedError())
                raise
            task.uncancel()
            if self.call is not None:
                self.call.closed()
            raise CallerGoneError from None
        except BaseException as error:
            self._broke(error)
            raise
        finally:
            if watch is not None:
                watch.cancel()

    async def _ask(self, way: Way, headers: Sequence[tuple[str, str]], content: Content) -> ClientResponse:
        try:
            return await way.upstream.send(self.request.method, self.request.target, headers, content)
        except (*_BROKEN, ValueError) as error:
            if isinstance(error.__cause__, CallerGoneError | RefusedCallError):  # it was the request's body that broke
                raise error.__cause__ from None
            self._broke(error)
            raise _no_answer(error) from error

    async def _hand_on(self, answer: ClientResponse, cost: Cost | None = None) -> None:
        """Each piece passes the call before it goes on; with the last one the call has ended.

        An answer that breaks off breaks off for the caller, too: its response is left incomplete.
        """
        headers, content = to_answer(answer.raw_headers, answer.status), answer.content
        if self.call is not None:
            self._answered(answer)
            headers.append((ANSWER_ID, self.call.event_id.encode()))
        try:
            piece = None
            if cost is not None and self.call is not None and _comes_whole(answer):
                piece = await self._read_on(answer)
                if content.at_eof():
                    headers += cost(self.call)
            self.status = answer.status
            await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
            while not self.is_complete:
                piece = await self._read_on(answer) if piece is None else piece
                self.is_complete = content.at_eof()
                await self._send({"type": "http.response.body", "body": piece, "more_body": not self.is_complete})
                piece = None
        except _BROKEN as error:
            self._broke(error)
            logger.warning("an answer of DeepSeek broke off: %s", type(error).__name__)
            if self.status is None:
                raise _no_answer(error) from error

    async def _keep(self, answer: ClientResponse) -> None:
        """Records an answer that is not handed on."""
        self._answered(answer)
        try:
            while not answer.content.at_eof():
                await self._read_on(answer)
        except _BROKEN as error:
            self._broke(error)

    def _answered(self, answer: ClientResponse) -> None:
        assert self.call is not None
        self.call.answered(answer.status, {name.lower(): value for name, value in answer.raw_headers})

    async def _read_on(self, answer: ClientResponse) -> bytes:
        """The next piece of an answer; the call has seen it, and with the last one it has ended."""
        content, call = answer.content, self.call
        piece = await content.readany()
        if call is not None:
            if piece:
                call.observe(piece)
            if content.at_eof():
                call.ended()
        return piece

    def _broke(self, error: BaseException) -> None:
        if self.call is not None:
            self.call.broke(error)


def _no_answer(error: Exception) -> RefusedCallError:
    """What the caller is told; where DeepSeek is asked, and how, is in the log alone.

    The words of an error are logged where they are of an address: those of others may quote an answer.
    """
    where = f": {error}" if isinstance(error, ClientConnectorError) else ""
    logger.warning("DeepSeek gave no answer: %s%s", type(error).__name__, where)
    if isinstance(error, ValueError) and not isinstance(error, ClientError):
        return RefusedCallError(400, "bad_request", str(error))
    if isinstance(error, TimeoutError):
        return RefusedCallError(504, "no_answer", "DeepSeek did not answer in time")
    said = "broke off before it answered" if ending_of(error).never_sent is None else "cannot be reached"
    return RefusedCallError(502, "no_answer", f"DeepSeek {said} ({type(error).__name__})")


def pause(attempts: int, retry_after: str | None = None) -> float:
    """Seconds before the next attempt: as DeepSeek says, within bounds; else twice as long each time, and by chance."""
    if retry_after is not None and retry_after.isdigit():
        return min(float(retry_after), LONGEST_PAUSE)
    return min(FIRST_PAUSE * 2.0**attempts, LONGEST_PAUSE) * random.uniform(0.5, 1.0)


def _comes_whole(answer: ClientResponse) -> bool:
    """Whether an answer is there, or about to be, in one piece: then its head can wait for its cost."""
    length = answer.content_length
    return answer.status == 200 and (answer.content.is_eof() or (length is not None and length <= WHOLE))


async def _leave_when_gone(receive: Receive, task: asyncio.Task[object]) -> None:
    """Cancels a task as soon as the caller of its request is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
