"""Recording transports for httpx2: thin, over the tap; what the caller gets is what the inner transport gave."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx2

from costmeter.recorder.attribution import check_attribution
from costmeter.recorder.clock import Clock, HostClock
from costmeter.recorder.httpx2_stream import AsyncObservedStream, ObservedStream, begin, observed
from costmeter.recorder.recorder import Recorder
from costmeter.recorder.spool import Spool
from costmeter.recorder.spools import default_spool


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
        call = begin(self.recorder, request)
        if call is None:
            return self.inner.handle_request(request)
        try:
            response = self.inner.handle_request(request)
        except BaseException as error:
            call.broke(error)
            raise
        return observed(call, response, ObservedStream)

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
        call = begin(self.recorder, request)
        if call is None:
            return await self.inner.handle_async_request(request)
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException as error:
            call.broke(error)
            raise
        return observed(call, response, AsyncObservedStream)

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
