"""A call over a bare socket: what came, byte by byte, and how the connection ended."""

from __future__ import annotations

import json
import re
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

ASKED: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/beta/completions": {"prompt": "Hello"},
    "/responses": {"input": "Hello"},
    "/anthropic/v1/messages": {"messages": [{"role": "user", "content": "Hello"}]},
}
LIMITS = {"/responses": "max_output_tokens"}


class Reply(NamedTuple):
    """The head without its last empty line, the body without the framing of HTTP, and the rest of the story."""

    head: str
    body: bytes
    is_whole: bool  # as long as it said, or with its last chunk
    was_reset: bool  # by an RST, not closed in an orderly way

    @property
    def events(self) -> list[str]:
        """The events of a stream that came whole, comments included."""
        return self.body.decode("utf-8", "replace").split("\n\n")[:-1]

    def usage(self) -> Any:
        """The last usage that can be read, if any."""
        texts = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {")] or [self.body]
        return next(filter(None, map(_usage_in, reversed(texts))), None)


def call(base_url: str, path: str = "/chat/completions", fault: str | None = None, **fields: Any) -> Reply:
    """One call of a model of 2025, disturbed if so wished; of a client that wants no second one."""
    body = json.dumps({"model": "deepseek-chat", **ASKED[path], **fields}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: simulator\r\nauthorization: Bearer sk-test\r\nconnection: close\r\n"
    head += f"content-length: {len(body)}\r\n" + (f"x-simulator-fault: {fault}\r\n" if fault else "")
    place = urlsplit(base_url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall(head.encode() + b"\r\n" + body)
        return _read(connection)


def _read(connection: socket.socket) -> Reply:
    received, was_reset = b"", False
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        was_reset = True
    raw_head, _, raw_body = received.partition(b"\r\n\r\n")
    head = raw_head.decode()
    length = re.search(r"content-length: (\d+)", head)
    if length:
        return Reply(head, raw_body, len(raw_body) == int(length[1]), was_reset)
    return Reply(head, _unframed(raw_body), raw_body.endswith(b"0\r\n\r\n"), was_reset)


def _unframed(raw: bytes) -> bytes:
    """What the chunks of HTTP hold."""
    body = b""
    while size := re.match(rb"([0-9a-f]+)\r\n", raw):
        end = size.end() + int(size[1], 16)
        body, raw = body + raw[size.end() : end], raw[end + 2 :]
    return body


def _usage_in(text: bytes) -> Any:
    """A usage that has counted the output."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    usage = (found.get("response") or found).get("usage") or {}
    return usage if usage.get("completion_tokens") or usage.get("output_tokens") else None
