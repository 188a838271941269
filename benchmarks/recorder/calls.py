"""One way to call DeepSeek, timed: what a call takes by the clock, and what it takes of the processor."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns, process_time_ns, thread_time_ns
from typing import Any, NamedTuple

from benchmarks.recorder.answers import CHUNKS, MODEL, USAGE

Create = Callable[..., Any]  # answers as `client.chat.completions.create` does

_MESSAGES = [
    {"role": "system", "content": "You answer in plain words, briefly, and you say so where you do not know. " * 3},
    {"role": "user", "content": "Describe the morning in a small town by a river."},
]
PLAIN: dict[str, Any] = {"model": MODEL, "messages": _MESSAGES}
STREAMED: dict[str, Any] = {**PLAIN, "stream": True, "stream_options": {"include_usage": True}}


class Sample(NamedTuple):
    """Nanoseconds of one call: by the clock, of CPU in the calling thread and in the process, to the first chunk."""

    wall: int
    thread: int
    process: int
    first: int


class Caller:
    """Makes calls in one way, and counts them."""

    def __init__(self, create: Create) -> None:
        self._create = create
        self.calls = 0

    def plain(self) -> Sample:
        """A call that is not streamed."""
        self.calls += 1
        process, thread, began = process_time_ns(), thread_time_ns(), perf_counter_ns()
        self._create(**PLAIN)
        ended = perf_counter_ns()
        return Sample(ended - began, thread_time_ns() - thread, process_time_ns() - process, ended - began)

    def streamed(self) -> Sample:
        """A streamed call, read to its end."""
        self.calls += 1
        process, thread, began = process_time_ns(), thread_time_ns(), perf_counter_ns()
        chunks = iter(self._create(**STREAMED))
        next(chunks)
        first = perf_counter_ns()
        for _ in chunks:
            pass
        ended = perf_counter_ns()
        return Sample(ended - began, thread_time_ns() - thread, process_time_ns() - process, first - began)

    def check(self) -> None:
        """Raises AssertionError unless the caller gets the whole answer, streamed or not."""
        self.calls += 2
        answer = self._create(**PLAIN)
        assert answer.usage.total_tokens == USAGE["total_tokens"], answer
        deltas = [chunk.choices[0].delta for chunk in self._create(**STREAMED) if chunk.choices]
        assert len([delta for delta in deltas if delta.content]) == CHUNKS, len(deltas)
