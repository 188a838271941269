"""A request as it comes in: its head, and its body, whole or piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from msgspec import MsgspecError, Raw
from msgspec.json import Decoder, encode

from costmeter.gateway.refusals import RefusedCallError
from costmeter.gateway.targets import is_anthropic
from costmeter.recorder.recorder import is_metered

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UPLOAD_SECONDS = 60.0  # without a byte of a body that is not complete


class CallerGoneError(Exception):
    """The caller left before its request was complete."""


@dataclass(slots=True)
class Request:
    """A request of a caller; `target` is its path and query, without the prefix that the gateway is mounted at."""

    method: str
    path: bytes
    target: bytes
    pairs: list[tuple[bytes, bytes]]  # the headers, names in lower case
    headers: dict[bytes, bytes]  # the same by name; of several the last
    receive: Receive

    @classmethod
    def read(cls, scope: Scope, receive: Receive) -> Request:
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        path = path[len(scope.get("root_path", "")) :]
        query: bytes = scope["query_string"]
        target = b"%b?%b" % (path, query) if query else path
        pairs: list[tuple[bytes, bytes]] = list(scope["headers"])
        return cls(scope["method"], path, target, pairs, dict(pairs), receive)

    @property
    def is_call(self) -> bool:
        """Whether DeepSeek bills it by tokens."""
        return is_metered(self.method, self.path)

    @property
    def has_body(self) -> bool:
        return b"content-length" in self.headers or b"transfer-encoding" in self.headers

    async def body(self, limit: int) -> bytes:
        """The whole body; refused where it has more bytes than the limit, or stays away for too long."""
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        pieces, size = [], 0
        async for piece in self.pieces():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        is_over = False
        while not is_over:
            try:
                async with asyncio.timeout(UPLOAD_SECONDS):
                    message = await self.receive()
            except TimeoutError:
                raise RefusedCallError(
                    408, "slow_body", f"no byte of the request's body came in {UPLOAD_SECONDS:.0f} seconds"
                ) from None
            if message["type"] == "http.disconnect":
                raise CallerGoneError
            is_over = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]


def with_usage(body: bytes, path: bytes) -> bytes:
    """The body of a call that asks for the usage of its stream; the same where it does, or where that is always there.

    For chat and FIM completions; every other value stays as it was spelt. DeepSeek sends the usage with the last chunk
    in any case; others that speak its language send none unless they are asked (api-docs.deepseek.com,
    api/create-chat-completion, `stream_options`).
    """
    if is_anthropic(path) or not path.endswith(b"/completions"):
        return body
    try:
        asked = _fields(body)
        options = _fields(asked.get("stream_options", _NO_OPTIONS))
    except MsgspecError:
        return body  # DeepSeek says what is wrong with it
    if asked.get("stream") != _TRUE or options.get("include_usage") == _TRUE:
        return body
    return encode({**asked, "stream_options": {**options, "include_usage": True}})


_fields = Decoder(dict[str, Raw]).decode
_TRUE, _NO_OPTIONS = Raw(b"true"), Raw(b"{}")


def _too_large(limit: int) -> RefusedCallError:
    remedy = "send a shorter one, or have COSTMETER_GATEWAY_BODY_LIMIT raised"
    return RefusedCallError(413, "body_too_large", f"the request's body has more than {limit} bytes; {remedy}")
