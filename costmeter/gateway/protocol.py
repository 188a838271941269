"""HTTP as callers speak it: uvicorn's reader, without what of it would harm a gateway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

HEAD_LIMIT = 64 << 10  # bytes of a head that is not complete, beyond which no more of it is waited for
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class Protocol(HttpToolsProtocol):
    """One connection of a caller. It differs from uvicorn's in this:

    - An offer to upgrade is not taken, and the request is served all the same, with its body (RFC 9110, section 7.8).
      Java's HttpClient offers h2c with every first request; httptools takes no body from such a request.
    - Fields behind a chunked body are not merged into the head (RFC 9110, section 6.5.1): they would go around a proxy
      that puts the head right.
    - A head is bounded in bytes and, as an unused connection is, in time.
    - When the caller leaves, the request that is being answered learns of it, and not the last that has come.
    """

    _is_in_head = True
    _since_begin = 0  # bytes behind the piece in which the last request began
    _is_read_on = False  # the head of a request is read again, for the sake of its body
    _answered: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio types it wider
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._answered is not None:
            self._answered.disconnected = True
            self._answered.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        self._since_begin += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offered:
            self._serve_all_the_same(data[offered.args[0] :])
        except HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)
        else:
            if self._is_in_head and self._since_begin > HEAD_LIMIT:
                self.logger.warning("a request's head has more than %d bytes", HEAD_LIMIT)
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        if not self._is_read_on:
            self._is_in_head, self._since_begin = True, 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_read_on:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._is_read_on:
            self._is_in_head = False
            self._unset_keepalive_if_required()
            super().on_headers_complete()

    def _serve_all_the_same(self, rest: bytes) -> None:
        """Reads on behind a head that offers an upgrade: its body by the framing that it names, then what follows."""
        framing = [b"%b: %b\r\n" % field for field in self.headers if field[0] in _FRAMING]
        if framing:
            self.cycle.more_body = True
            self.cycle.message_event.clear()
            self.parser = HttpRequestParser(self)
            self._is_read_on = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
            self._is_read_on = False
        if rest:
            self.data_received(rest)
