"""Two thousand streams at once, some left, stalled, cut off or read slowly: each is one record, in flat memory."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from costmeter.cli.gateway import open_many_files
from costmeter.simulator import Simulator
from tests.e2e.gateways import Gateways
from tests.gateway.raw import PATIENCE
from tests.gateway.serving import Served
from tests.recorder.conftest import Records

STREAMS, FIRST = 2_000, 500
BYTES_PER_STREAM = 256 << 10  # at most; a tenth of it is usual
STALL = 8  # seconds
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"r-%d","model":"deepseek-flash","choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
USED = (
    b'data: {"id":"r-%d","model":"deepseek-flash","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
)
ALIVE = b": keep-alive\n\n"
# How a stream ends, by the last digit of its number; all others end well.
LEFT, SLOW, STALLED, CUT = range(4)
ENDS = {LEFT: "closed early by the caller", STALLED: "timed out", CUT: "cut off: ClientPayloadError"}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Vendor:
    """Begins each stream at once and keeps it alive until it is let; then it ends it as its number says."""

    def __init__(self) -> None:
        self.begun = self.connections = 0
        self.let = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                asked = json.loads(await reader.readexactly(int(length)))
                await self._answer(asked["number"], reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.connections -= 1

    async def _answer(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.begun += 1
        writer.write(HEAD + chunk(EVENT % number))
        while not self.let.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.let.wait(), STALL / 4)
            writer.write(chunk(ALIVE))
            await writer.drain()
        end = number % 10
        if end == SLOW:
            writer.write(chunk(EVENT % number) * 2_000)
        elif end == STALLED:
            await reader.read(1)  # until the gateway has had enough
            raise ConnectionError
        elif end == CUT:
            raise ConnectionError
        writer.write(chunk(USED % number) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()


class Stream:
    """A call whose answer has begun."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._number = number
        self._reader = reader
        self._writer = writer

    @classmethod
    async def begin(cls, port: int, number: int) -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"model":"deepseek-flash","stream":true,"number":%d}' % number
        writer.write(b"POST /chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-many\r\n")
        writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
        await reader.readuntil(b"finish_reason")
        return cls(number, reader, writer)

    async def end(self, others: asyncio.Event) -> bool:
        """Reads to the end, or leaves; whether the answer was whole."""
        end = self._number % 10
        if end == SLOW:
            await others.wait()
        read = b""
        if end != LEFT:
            with suppress(ConnectionError):
                while not read.endswith(b"0\r\n\r\n") and (piece := await self._reader.read(1 << 16)):
                    read = read[-100:] + piece
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        return b"[DONE]" in read


def resident(process: int, of: str = "VmRSS") -> int:
    """Bytes of memory of a process."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.partition(f"{of}:")[2].split()[0]) << 10


async def run_streams(vendor: Vendor, gateways: Gateways, process: int) -> tuple[list[bool], list[int]]:
    """Whether each answer was whole, and the memory of the gateway without a stream, with some and with all."""
    streams: list[Stream] = []
    memory = [resident(process)]
    for upto in (FIRST, STREAMS):
        while len(streams) < upto:
            numbers = range(len(streams), min(len(streams) + 100, upto))
            streams += await asyncio.gather(*(Stream.begin(gateways.port, number) for number in numbers))
        memory.append(resident(process))
    others = asyncio.Event()
    ends = [asyncio.create_task(stream.end(others)) for stream in streams]
    await asyncio.wait(ends[LEFT::10])
    while f'costmeter_gateway_left_total{{route="chat"}} {STREAMS // 10}.0' not in await figures_of(gateways):
        await asyncio.sleep(0.1)
    vendor.let.set()
    await asyncio.wait([end for number, end in enumerate(ends) if number % 10 not in (SLOW, STALLED)])
    others.set()
    return await asyncio.gather(*ends), [*memory, resident(process, "VmHWM")]


async def figures_of(gateways: Gateways) -> str:
    """What the gateway tells of itself."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{gateways.base_url}/metrics", timeout=PATIENCE)).text


def test_two_thousand_streams(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_GATEWAY_STALL_SECONDS", str(STALL))
    open_many_files()

    async def run() -> tuple[list[bool], list[int], str]:
        vendor = Vendor()
        listener = await asyncio.start_server(vendor.serve, "127.0.0.1", 0, backlog=STREAMS)
        host, port = listener.sockets[0].getsockname()
        gateways = Gateways(f"http://{host}:{port}", sqlite_url, tmp_path)
        with gateways.one() as process:
            found = await run_streams(vendor, gateways, process.pid)
            assert vendor.begun == STREAMS
            figures = await figures_of(gateways)
            await asyncio.to_thread(gateways.end, process)
        while vendor.connections:
            await asyncio.sleep(0.01)
        listener.close()
        books.extend(gateways.books())
        assert "Traceback" not in gateways.log()
        return (*found, figures)

    books: list[tuple[str, str | None, bool]] = []
    whole, memory, figures = asyncio.run(run())
    assert [number % 10 not in ENDS for number in range(STREAMS)] == whole
    tenth = STREAMS // 10
    expected: dict[tuple[str, str | None], int] = {("unmetered", reason): tenth for reason in ENDS.values()}
    assert Counter((status, reason) for status, reason, _ in books) == {("ok", None): 7 * tenth, **expected}
    assert "costmeter_gateway_under_way 0.0" in figures
    before, some, everything, most = memory
    per_stream = {
        f"the first {FIRST}": (some - before) // FIRST,
        f"the next {STREAMS - FIRST}": (everything - some) // (STREAMS - FIRST),
        "all, at the highest": (most - before) // STREAMS,
    }
    print("bytes of memory per stream:", per_stream)  # noqa: T201 - pytest -s shows them
    assert max(per_stream.values()) < BYTES_PER_STREAM


FAULTS = (None, "reset;after=3", "truncate;after=2", "no_usage", "garbage", "stall;seconds=0.2", "429", "left")


def test_what_is_measured_is_what_the_vendor_bills(records: Records) -> None:
    """But for what DeepSeek bills without telling: that is unmetered, one by one."""
    calls = 80

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        fault = FAULTS[number % len(FAULTS)]
        body = {"model": "deepseek-flash", "stream": True, "messages": [{"role": "user", "content": f"{number} words"}]}
        headers = {"authorization": "Bearer sk-many", "x-costmeter-user": str(number), "x-simulator-label": str(number)}
        headers |= {"x-simulator-fault": fault} if fault not in (None, "left") else {}
        with suppress(httpx.RemoteProtocolError, httpx.ReadError):
            async with client.stream("POST", "/chat/completions", json=body, headers=headers) as response:
                async for _ in response.aiter_raw():
                    if fault == "left":
                        break

    async def ask_all(base_url: str) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=base_url, timeout=PATIENCE, limits=limits) as client:
            await asyncio.gather(*(ask(client, number) for number in range(calls)))

    with Simulator(chunk_delay=0.03) as vendor:
        with Served(vendor.base_url, records.spool) as gateway:
            asyncio.run(ask_all(gateway.base_url))
        found: list[dict[str, Any]] = sorted(records.all(), key=lambda record: int(record["user"]))
        billed: list[Any] = vendor.ledger.as_json()["calls"]  # type: ignore[assignment]  # JSON
    assert [record["user"] for record in found] == [str(number) for number in range(calls)]
    measured = {record["response_id"]: record["user"] for record in found if record["status"] == "ok"}
    assert measured == {bill["id"]: bill["label"] for bill in billed if not bill["aborted"] and bill["fault"] is None}
    unmetered = {record["user"] for record in found if record["status"] == "unmetered"}
    assert unmetered == {bill["label"] for bill in billed if bill["aborted"] or bill["fault"] is not None}
    assert Counter(record["status"] for record in found) == {"ok": 10, "unmetered": 60, "failed": 10}
