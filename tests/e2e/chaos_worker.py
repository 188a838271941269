"""A process of the chaos test: makes its share of the calls, and writes down each that began and each that returned.

Run as: python chaos_worker.py BASE_URL LOG FIRST LAST
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAI

import costmeter

KEY = "sk-chaos-0123456789abcdef"
TASKS = 4  # calls that are on their way in the event loop at a time
OPTIONS: Any = {"api_key": KEY, "max_retries": 0, "timeout": 20}


class Log:
    """One appending write a line: a kill leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, what: str, number: int, **more: object) -> None:
        line = json.dumps({"what": what, "number": number, "at": time.time(), **more})
        os.write(self._file, f"{line}\n".encode())


def begun(path: Path) -> set[int]:
    """The calls that a process before this one began."""
    if not path.exists():
        return set()
    said = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["number"] for line in said if line["what"] == "began"}


def question(number: int) -> dict[str, Any]:
    prompt = f"What does the book say of call {number}? " * 8
    return {
        "model": ("deepseek-flash", "deepseek-v4-pro")[number % 2],
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 24,
        "extra_headers": {"x-simulator-label": str(number)},
    }


def whole(client: OpenAI, number: int) -> None:
    client.chat.completions.create(**question(number))


def streamed(client: OpenAI, number: int) -> None:
    with client.chat.completions.create(**question(number), stream=True) as stream:
        for at, _ in enumerate(stream):
            if number % 97 == 0 and at == 3:
                return  # a caller who has seen enough


async def asked(client: AsyncOpenAI, number: int) -> None:
    if number % 4 == 2:
        await client.chat.completions.create(**question(number))
        return
    async for _ in await client.chat.completions.create(**question(number), stream=True):
        pass


def outcome(error: BaseException | None) -> str:
    if error is None:
        return "answered"
    return type(error).__name__


def in_thread(client: OpenAI, numbers: Iterator[int], log: Log) -> None:
    for number in numbers:
        with costmeter.attribute(user=str(number)):
            log.say("began", number)
            error: Exception | None = None
            try:
                (whole if number % 4 == 0 else streamed)(client, number)
            except Exception as raised:  # noqa: BLE001 - the SDK lets much through that a garbled answer makes
                error = raised
            log.say("returned", number, outcome=outcome(error))


async def in_loop(client: AsyncOpenAI, numbers: Iterator[int], log: Log) -> None:
    async def work() -> None:
        for number in numbers:
            with costmeter.attribute(user=str(number)):
                log.say("began", number)
                error: Exception | None = None
                try:
                    await asked(client, number)
                except Exception as raised:  # noqa: BLE001 - likewise
                    error = raised
                log.say("returned", number, outcome=outcome(error))

    await asyncio.gather(*(work() for _ in range(TASKS)))


def main(base_url: str, path: Path, first: int, last: int) -> None:
    done, log = begun(path), Log(path)
    left = [number for number in range(first, last) if number not in done]
    in_threads = iter([number for number in left if number % 4 < 2])
    lock = threading.Lock()

    def shared() -> Iterator[int]:
        while True:
            with lock:
                number = next(in_threads, None)
            if number is None:
                return
            yield number

    client = costmeter.wrap(OpenAI(base_url=base_url, **OPTIONS))
    threads = [threading.Thread(target=in_thread, args=(client, shared(), log)) for _ in range(2)]
    for thread in threads:
        thread.start()
    loop_client = costmeter.wrap(AsyncOpenAI(base_url=base_url, **OPTIONS))
    asyncio.run(in_loop(loop_client, iter([number for number in left if number % 4 >= 2]), log))
    for thread in threads:
        thread.join()
    log.say("flushed", -1, flushed=costmeter.flush(60), counts=costmeter.stats()._asdict())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
