"""DeepSeek, as the gateway asks it: one pool of connections, answers as they come."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from io import BytesIO

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, hdrs
from multidict import CIMultiDict

from costmeter.gateway.targets import url_at

CONNECT_SECONDS = 10.0
KEPT_SECONDS = 15.0  # that an unused connection is kept: a server closes it later, or a request may meet its end
HEAD_LIMIT = 64 << 10  # bytes of one line of a head
READ_BUFFER = 64 << 10  # bytes of an answer that wait for a slow caller; past twice that DeepSeek has to wait, too
LARGE = 1 << 20  # bytes of a body that the client is to send in pieces
# What the client would add of itself.
_OURS = frozenset((hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT))

Content = bytes | AsyncIterable[bytes] | None


class OddStatusError(ClientError):
    """An answer whose status is none that HTTP ends a request with."""


class Upstream:
    """The vendor at a base URL, perhaps through an HTTP proxy; `stall_seconds` without a byte end an answer.

    Started and stopped in its event loop.
    """

    def __init__(self, url: str, *, stall_seconds: float, proxy: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._proxy = proxy
        self._timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=stall_seconds)
        self._session: ClientSession | None = None

    async def start(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS),
            timeout=self._timeout,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_OURS,
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
            read_bufsize=READ_BUFFER,
            proxy=self._proxy,
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, method: str, target: bytes, headers: Sequence[tuple[str, str]], content: Content
    ) -> ClientResponse:
        """The answer as soon as its head is there; its body is read, or the answer closed, by who asked.

        Raises what aiohttp raises: ClientError, TimeoutError; ValueError for a tunnel or a target that is no path.
        """
        if method == "CONNECT":
            raise ValueError("CONNECT asks for a tunnel, and only DeepSeek's API is passed on")
        assert self._session is not None
        url = url_at(self.url, target)
        data = BytesIO(content) if isinstance(content, bytes) and len(content) > LARGE else content
        answer = await self._session.request(
            method, url, headers=CIMultiDict(headers), data=data, allow_redirects=False
        )
        if not 200 <= answer.status < 600:  # 101 is another protocol, which nobody asked for
            answer.close()
            raise OddStatusError(str(answer.status))
        return answer
