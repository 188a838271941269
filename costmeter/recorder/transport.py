"""Recording transports for httpx and httpx2: thin, over the tap; what the caller gets is what the inner one gave."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from costmeter.recorder.attribution import check_attribution
from costmeter.recorder.clock import Clock
from costmeter.recorder.library import begin, library_of
from costmeter.recorder.recorder import open_recorder
from costmeter.recorder.spool import Spool
from costmeter.recorder.stream import AsyncObservedStream, ObservedStream, observed

if TYPE_CHECKING:
    import httpx
    import httpx2

    # A type checker is to take a door for a transport of either library; when running, neither asks for its class.
    class _Transport(httpx.BaseTransport, httpx2.BaseTransport):
        def handle_request(self, request: Any) -> Any: ...
        def __enter__(self) -> Self: ...

    class _AsyncTransport(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: Any) -> Any: ...
        async def __aenter__(self) -> Self: ...
else:
    _Transport = _AsyncTransport = object

_Inner = TypeVar("_Inner")


class _Door(Generic[_Inner]):
    """What both transports are: a recorder before an inner transport, which may be made later."""

    _default: str  # the library's own transport, where none is given

    def __init__(
        self,
        transport: _Inner | None = None,
        *,
        account: str | None = None,
        project: str | None = None,
        user: str | None = None,
        api_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        _clock: Clock | None = None,
        _spool: Spool | None = None,
        _owner: Any = None,
    ) -> None:
        said = check_attribution(account=account, project=project, user=user, api_key=api_key, tags=tags)
        self.recorder = open_recorder(said, _clock, _spool)
        self.inner: Any = transport
        self._opening = threading.Lock()
        self._owner = _owner  # the client whose transport this is, where it is shared: kept alive, closed with it

    def open_inner(self, user: Any) -> Any:
        """The inner transport; where none was given, one of the library of its first user: a request or a client."""
        with self._opening:
            if self.inner is None:
                self.inner = getattr(library_of(user), self._default)()
            return self.inner


class RecordingTransport(_Door["httpx.BaseTransport | httpx2.BaseTransport"], _Transport):
    """Records the metered calls that pass through it; everything else passes untouched.

        httpx2.Client(transport=costmeter.RecordingTransport(project="search"))

    For any client of httpx or httpx2, over an inner transport of the same library; without one, over what the library
    makes by default: its limits and its trust, no proxy. A client's own `proxy` and `mounts` go around its transport:
    give the proxy to the inner one, or wrap each mount. The headers `x-costmeter-account`, `-project`, `-user`,
    `-api-key` and `-tags` of a request go over `attribute()`, which goes over what is said here, and do not leave with
    it. Raises InputError for an attribution that cannot be stored, and SetupError under gevent.
    """

    _default = "HTTPTransport"

    def handle_request(self, request: Any) -> Any:
        """The inner transport's response, or its error."""
        inner = self.inner or self.open_inner(request)
        call, request = begin(self.recorder, request)
        if call is None:
            return inner.handle_request(request)
        try:
            response = inner.handle_request(request)
        except BaseException as error:
            call.broke(error)
            raise
        return observed(call, response, ObservedStream)

    def close(self) -> None:
        """Closes the inner transport."""
        shared = self._owner or self.inner
        if shared is not None:
            shared.close()

    def __enter__(self) -> Self:
        if self.inner is not None:
            self.inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self.inner is not None:
            self.inner.__exit__(exc_type, exc_value, traceback)


class AsyncRecordingTransport(_Door["httpx.AsyncBaseTransport | httpx2.AsyncBaseTransport"], _AsyncTransport):
    """Records the metered calls of an async client of httpx or httpx2, as RecordingTransport does."""

    _default = "AsyncHTTPTransport"

    async def handle_async_request(self, request: Any) -> Any:
        """The inner transport's response, or its error."""
        inner = self.inner or self.open_inner(request)
        call, request = begin(self.recorder, request)
        if call is None:
            return await inner.handle_async_request(request)
        try:
            response = await inner.handle_async_request(request)
        except BaseException as error:
            call.broke(error)
            raise
        return observed(call, response, AsyncObservedStream)

    async def aclose(self) -> None:
        """Closes the inner transport."""
        shared = self._owner or self.inner
        if shared is not None:
            await shared.aclose()

    async def __aenter__(self) -> Self:
        if self.inner is not None:
            await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self.inner is not None:
            await self.inner.__aexit__(exc_type, exc_value, traceback)
