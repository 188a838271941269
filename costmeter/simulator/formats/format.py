"""What a format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from costmeter.simulator.calls import Call, Completion
from costmeter.simulator.requests import CallRequest


@dataclass(frozen=True)
class Format:
    """How a request is read and an answer is written. Each event of a stream ends with an empty line."""

    read_request: Callable[[bytes], CallRequest]
    body: Callable[[Call, Completion], bytes]  # the answer as one JSON object
    opening: Callable[[Call], list[bytes]]  # the events before the answer is complete, one for each chunk
    closing: Callable[[Call, Completion], bytes]  # the events that say that it is, with the usage
    greeting: bytes  # what a stream begins with
    keep_alive: bytes  # what a stream says while there is nothing to say
    takes_x_api_key: bool = False
