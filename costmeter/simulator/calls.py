"""One call to the vendor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from costmeter.simulator.answers import Answer
from costmeter.simulator.prices import Tariff
from costmeter.simulator.requests import CallRequest
from costmeter.simulator.usage import Usage


@dataclass(frozen=True)
class Call:
    """A call that was admitted: everything is decided but the instant of its completion."""

    id: str
    created: int  # Unix seconds at the start; DeepSeek sends the same in every chunk.
    api_key: str  # a fingerprint
    request: CallRequest
    answer: Answer
    usage: Usage
    tariff: Tariff
    label: str | None  # what the request calls it


@dataclass(frozen=True)
class Completion:
    """What the end of an answer tells its client."""

    at: datetime
    usage: Usage | None  # None: it is kept back
    trailing: bool  # told in a chunk of its own, behind the one that finishes
