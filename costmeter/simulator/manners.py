"""How the vendor treats its clients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from costmeter.simulator.clock import STILL
from costmeter.simulator.errors import BadInputError


@dataclass
class Manners:
    """Seconds are those of the host, whatever clock the simulator shows."""

    chunk_delay: float = 0.0  # after each chunk of a stream
    # How long an answer takes. It passes on a SimulatorClock at once; on any other clock the client has to wait.
    answer_time: timedelta = STILL
    keep_alive: float = 1.0  # between two empty lines, or two comments in a stream, for a client that waits
    trailing_usage: bool = False  # usage in a chunk of its own without choices, as some clients of DeepSeek expect

    def __post_init__(self) -> None:
        if not 0 <= self.chunk_delay < math.inf:
            raise BadInputError("chunk_delay", self.chunk_delay, "give seconds, 0 or more")
        if not 0 < self.keep_alive < math.inf:
            raise BadInputError("keep_alive", self.keep_alive, "give seconds, more than 0")
        if self.answer_time < STILL:
            raise BadInputError("answer_time", self.answer_time.total_seconds(), "give a time that is not negative")
