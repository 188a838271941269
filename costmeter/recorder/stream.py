"""Between httpx2's requests and responses and a call: what the two transports share, and the streams they hand on."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

import httpx2

from costmeter.recorder.call import Call
from costmeter.recorder.recorder import Recorder, is_metered

logger = logging.getLogger("costmeter.recorder")


class ObservedStream(httpx2.SyncByteStream):
    """The inner stream; each chunk passes the call before it goes on."""

    def __init__(self, stream: httpx2.SyncByteStream, call: Call) -> None:
        self._stream = stream
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        call, chunks = self._call, iter(self._stream)
        try:
            for chunk in chunks:
                call.observe(chunk)
                yield chunk
        except GeneratorExit:
            getattr(chunks, "close", bool)()  # as `yield from` would; the call ends with close()
            raise
        except BaseException as error:
            call.broke(error)
            raise
        call.ended()

    def close(self) -> None:
        self._call.closed()
        self._stream.close()

    def __del__(self) -> None:
        self._call.closed()  # a response that was neither read nor closed


class AsyncObservedStream(httpx2.AsyncByteStream):
    """The inner stream; each chunk passes the call before it goes on."""

    def __init__(self, stream: httpx2.AsyncByteStream, call: Call) -> None:
        self._stream = stream
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        call, chunks = self._call, self._stream.__aiter__()
        try:
            async for chunk in chunks:
                call.observe(chunk)
                yield chunk
        except BaseException as error:
            call.broke(error)
            raise
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        call.ended()

    async def aclose(self) -> None:
        self._call.closed()
        await self._stream.aclose()

    def __del__(self) -> None:
        self._call.closed()


def begin(recorder: Recorder, request: httpx2.Request) -> Call | None:
    """The call that a request is; None where it is none, or cannot be recorded."""
    try:
        if not is_metered(request.method, request.url.raw_path):
            return None
        return recorder.begin(_content(request), _lowered(request.headers))
    except Exception:
        logger.exception("a call could not be recorded")
        return None


def _lowered(headers: httpx2.Headers) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in headers.raw}


def _content(request: httpx2.Request) -> bytes | None:
    """The request's body where it is in memory; one that is still to be produced is left alone."""
    try:
        return request.content
    except httpx2.RequestNotRead:
        # A redirected request has its body only as a stream, which can be read again where it is plain bytes.
        return b"".join(request.stream) if isinstance(request.stream, httpx2.ByteStream) else None


def observed(call: Call, response: httpx2.Response, observe: Callable[[Any, Call], Any]) -> httpx2.Response:
    """The same response with its stream observed; one that is in memory already is observed at once."""
    try:
        if response.is_closed:
            call.answered(response.status_code, _lowered(response.headers), is_decoded=True)
            call.observe(response.content)
            call.ended()
        else:
            call.answered(response.status_code, _lowered(response.headers))
            response.stream = observe(response.stream, call)
    except Exception as error:
        logger.exception("a response could not be read")
        call.broke(error)
    return response
