"""A stand-in for DeepSeek that costs its client nothing: a process of its own, prebuilt bytes, no HTTP library.

It is the sink of the rivals' exports too: whatever is no call for a completion is answered by 200 and `{}`.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.recorder.answers import completion, empty_object, stream
from benchmarks.recorder.cores import SERVER, pin

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream":\s*true')


class Answering(asyncio.Protocol):
    """One connection: requests in, answers out, kept alive until the client leaves."""

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := _request_end(self._received)) is not None:
            self._transport.write(answer(bytes(self._received[:end])))
            del self._received[:end]


def answer(request: bytes) -> bytes:
    """The whole response to a request, to be written at once."""
    if b"/chat/completions" not in request[: request.find(b"\r\n")]:
        return empty_object()
    return stream() if _STREAM.search(request) else completion()


@contextmanager
def serving() -> Iterator[str]:
    """A server in a process of its own, on its own core; gives its base URL. It ends with the block."""
    command = [sys.executable, "-m", "benchmarks.recorder.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()  # closes its standard input, which ends it


def _request_end(received: bytearray) -> int | None:
    """Where the first request ends; None where it is not all there."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    length = _LENGTH.search(received, 0, head_end)
    end = head_end + 4 + (int(length[1]) if length else 0)
    return end if len(received) >= end else None


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    pin(SERVER)
    asyncio.run(_serve())
