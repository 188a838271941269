"""One request on its way to DeepSeek and the answer on its way back: nothing is held that could be passed on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from aiohttp import ClientError, ClientResponse

from costmeter.gateway.headers import to_answer
from costmeter.gateway.refusals import RefusedCallError, messages
from costmeter.gateway.requests import CallerGoneError, Receive, Request, Send
from costmeter.gateway.upstream import Content, Upstream
from costmeter.recorder.call import Call
from costmeter.recorder.record import ending_of

logger = logging.getLogger("costmeter.gateway")

EVENT_ID = b"x-costmeter-event-id"
_BROKEN = (ClientError, TimeoutError, OSError)  # what ends an answer before its end


class StoppedError(Exception):
    """The gateway ended while an answer was on its way."""


class Exchange:
    """A request and what its caller got: `status` is None until a response has begun."""

    def __init__(self, request: Request, send: Send) -> None:
        self.request = request
        self.call: Call | None = None  # the last attempt, where it is one
        self.status: int | None = None
        self.is_complete = False
        self.has_left = False
        self.refused: RefusedCallError | None = None
        self._send = send

    async def refuse(self, refused: RefusedCallError) -> None:
        """Answers in DeepSeek's place."""
        self.refused, self.status, self.is_complete = refused, refused.status, True
        for message in messages(refused, self.request.path):
            await self._send(message)

    async def run(
        self, upstream: Upstream, headers: Sequence[tuple[str, str]], content: Content, *, drain: bool
    ) -> None:
        """Asks DeepSeek and hands its answer on.

        A caller who leaves ends it at once, for DeepSeek, too; with `drain` the answer is read to its end all the same.
        Raises RefusedCallError where there is no answer, and CallerGoneError where nobody waits for it any more.
        """
        task = asyncio.current_task()
        assert task is not None
        watch = None
        if not drain and (content is None or isinstance(content, bytes)):  # else the body still comes that way
            watch = asyncio.create_task(_leave_when_gone(self.request.receive, task))
        answer = None
        try:
            answer = await self._ask(upstream, headers, content)
            await self._pass_on(answer)
        except asyncio.CancelledError:
            if watch is None or not watch.done():
                self._broke(StoppedError())
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
            if answer is not None and not self.is_complete:
                answer.close()

    async def _ask(self, upstream: Upstream, headers: Sequence[tuple[str, str]], content: Content) -> ClientResponse:
        try:
            return await upstream.send(self.request.method, self.request.target, headers, content)
        except (*_BROKEN, ValueError) as error:
            self._broke(error)
            raise _no_answer(error) from error

    async def _pass_on(self, answer: ClientResponse) -> None:
        """Each piece passes the call before it goes on; with the last one the call has ended.

        An answer that breaks off breaks off for the caller, too: its response is left incomplete.
        """
        headers, call = to_answer(answer.raw_headers), self.call
        if call is not None:
            call.answered(answer.status, {name.lower(): value for name, value in answer.raw_headers})
            headers.append((EVENT_ID, call.event_id.encode()))
        self.status = answer.status
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        content = answer.content
        is_over = False
        while not is_over:
            try:
                piece = await content.readany()
            except _BROKEN as error:
                self._broke(error)
                logger.warning("an answer of DeepSeek broke off: %s", type(error).__name__)
                return
            is_over = content.at_eof()
            if call is not None:
                if piece:
                    call.observe(piece)
                if is_over:
                    call.ended()
            await self._send({"type": "http.response.body", "body": piece, "more_body": not is_over})
        self.is_complete = True

    def _broke(self, error: BaseException) -> None:
        if self.call is not None:
            self.call.broke(error)


def _no_answer(error: Exception) -> RefusedCallError:
    """What the caller is told; where DeepSeek is asked, and how, is in the log alone."""
    logger.warning("DeepSeek gave no answer: %s: %s", type(error).__name__, error)
    if isinstance(error, ValueError) and not isinstance(error, ClientError):
        return RefusedCallError(400, "bad_request", str(error))
    if isinstance(error, TimeoutError):
        return RefusedCallError(504, "no_answer", "DeepSeek did not answer in time")
    said = "broke off before it answered" if ending_of(error).never_sent is None else "cannot be reached"
    return RefusedCallError(502, "no_answer", f"DeepSeek {said} ({type(error).__name__})")


async def _leave_when_gone(receive: Receive, task: asyncio.Task[object]) -> None:
    """Cancels a task as soon as the caller of its request is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
