"""Recording transports for httpx2: thin, over the tap; what the caller gets is what the inner transport gave."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

from costmeter.recorder.attribution import check_attribution
from costmeter.recorder.call import Call, Recorder, is_metered
from costmeter.recorder.clock import Clock, HostClock
from costmeter.recorder.spool import Spool
from costmeter.recorder.spools import default_spool

logger = logging.getLogger("costmeter.recorder")


class RecordingTransport(httpx2.BaseTransport):
    """Records the metered calls that pass through it; everything else passes untouched."""

    def __init__(
        self,
        transport: httpx2.BaseTransport | None = None,
        *,
        account: str | None = None,
        project: str | None = None,
        user: str | None = None,
        api_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        _clock: Clock | None = None,
        _spool: Spool | None = None,
        _owner: httpx2.Client | None = None,
    ) -> None:
        said = check_attribution(account=account, project=project, user=user, api_key=api_key, tags=tags)
        self.recorder = Recorder(said, _clock or HostClock(), _spool or default_spool())
        self.inner = transport or httpx2.HTTPTransport()
        self._owner = _owner  # the client whose transport this is, where it is shared: kept alive, closed with it

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The inner transport's response, or its error."""
        call = _begin(self.recorder, request)
        if call is None:
            return self.inner.handle_request(request)
        try:
            response = self.inner.handle_request(request)
        except BaseException as error:
            call.broke(error)
            raise
        return _observed(call, response, _ObservedStream)

    def close(self) -> None:
        """Closes the inner transport."""
        (self._owner or self.inner).close()

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.inner.__exit__(exc_type, exc_value, traceback)


class AsyncRecordingTransport(httpx2.AsyncBaseTransport):
    """Records the metered calls that pass through it; everything else passes untouched."""

    def __init__(
        self,
        transport: httpx2.AsyncBaseTransport | None = None,
        *,
        account: str | None = None,
        project: str | None = None,
        user: str | None = None,
        api_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        _clock: Clock | None = None,
        _spool: Spool | None = None,
        _owner: httpx2.AsyncClient | None = None,
    ) -> None:
        said = check_attribution(account=account, project=project, user=user, api_key=api_key, tags=tags)
        self.recorder = Recorder(said, _clock or HostClock(), _spool or default_spool())
        self.inner = transport or httpx2.AsyncHTTPTransport()
        self._owner = _owner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The inner transport's response, or its error."""
        call = _begin(self.recorder, request)
        if call is None:
            return await self.inner.handle_async_request(request)
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException as error:
            call.broke(error)
            raise
        return _observed(call, response, _AsyncObservedStream)

    async def aclose(self) -> None:
        """Closes the inner transport."""
        await (self._owner or self.inner).aclose()

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.inner.__aexit__(exc_type, exc_value, traceback)


class _ObservedStream(httpx2.SyncByteStream):
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
            call.closed()
            getattr(chunks, "close", bool)()  # as `yield from` would
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


class _AsyncObservedStream(httpx2.AsyncByteStream):
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


def _begin(recorder: Recorder, request: httpx2.Request) -> Call | None:
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


def _observed(call: Call, response: httpx2.Response, observe: Callable[[Any, Call], Any]) -> httpx2.Response:
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
