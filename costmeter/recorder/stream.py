"""The streams that responses are handed on with: the inner one, observed."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

from costmeter.recorder.call import END, ROOM, UNDECIDED, Call
from costmeter.recorder.library import library_of_class, lowered

logger = logging.getLogger("costmeter.recorder")


class ObservedStream:
    """The inner stream; each chunk passes the call before it goes on."""

    base = "SyncByteStream"  # its name in either library

    def __init__(self, stream: Any, call: Call) -> None:
        self._stream = stream
        self._call: Call | None = call  # None once it is over

    def __iter__(self) -> Iterator[bytes]:
        call, chunks = self._call, iter(self._stream)
        if call is None:
            yield from chunks  # read before: the library says so
            return
        passed = call.passed
        try:
            for chunk in chunks:
                passed += chunk  # as `observe` does, without a call for each
                call.chunks += 1
                if chunk[END:] != UNDECIDED or len(passed) > ROOM:
                    call.look(chunk)
                yield chunk
        except GeneratorExit:
            getattr(chunks, "close", bool)()  # as `yield from` would; the call ends with close()
            raise
        except BaseException as error:
            call.broke(error)
            raise
        call.ended()
        self._call = None

    def close(self) -> None:
        if self._call is not None:
            self._call.closed()
        self._stream.close()

    def __del__(self) -> None:
        if self._call is not None:
            self._call.closed()  # a response that was neither read nor closed


class AsyncObservedStream:
    """The inner stream; each chunk passes the call before it goes on."""

    base = "AsyncByteStream"

    def __init__(self, stream: Any, call: Call) -> None:
        self._stream = stream
        self._call: Call | None = call  # None once it is over

    async def __aiter__(self) -> AsyncIterator[bytes]:
        call, chunks = self._call, self._stream.__aiter__()
        if call is None:
            async for chunk in chunks:
                yield chunk
            return
        passed = call.passed
        try:
            async for chunk in chunks:
                passed += chunk  # as `observe` does, without a call for each
                call.chunks += 1
                if chunk[END:] != UNDECIDED or len(passed) > ROOM:
                    call.look(chunk)
                yield chunk
        except BaseException as error:
            call.broke(error)
            raise
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        call.ended()
        self._call = None

    async def aclose(self) -> None:
        if self._call is not None:
            self._call.closed()
        await self._stream.aclose()

    def __del__(self) -> None:
        if self._call is not None:
            self._call.closed()


def observed(call: Call, response: Any, kind: Any) -> Any:
    """The same response with its stream observed; one that is in memory already is observed at once."""
    try:
        if response.is_closed:
            call.answered(response.status_code, lowered(response.headers), is_decoded=True)
            call.observe(response.content)
            call.ended()
        else:
            call.answered(response.status_code, lowered(response.headers))
            response.stream = _of_library(kind, response.__class__)(response.stream, call)
    except Exception as error:
        logger.exception("a response could not be read")
        call.broke(error)
    return response


@functools.cache
def _of_library(kind: Any, response: type) -> Any:
    """The class of streams that is one of the response's library, too: its clients insist on that."""
    return type(kind.__name__, (kind, getattr(library_of_class(response), kind.base)), {})
