"""What can go wrong with a call, and how it is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from costmeter.simulator.errors import STATUSES, BadInputError

RATE_LIMITED, BAD_GATEWAY, SILENT = "429", "502", "silent"
RESET, STALL, TRUNCATE, GARBAGE, NO_USAGE = "reset", "stall", "truncate", "garbage", "no_usage"
BIT, WHOLE = NOISES = ("bit", "whole")

# What can be said of each kind besides its name. A status is a refusal in DeepSeek's words.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    **{str(status): () for status in STATUSES},
    RATE_LIMITED: ("retry_after",),
    BAD_GATEWAY: (),
    SILENT: (),
    RESET: ("after_chunks", "before_head"),
    STALL: ("after_chunks", "before_head", "seconds"),
    TRUNCATE: ("after_chunks",),
    GARBAGE: ("after_chunks", "noise"),
    NO_USAGE: (),
}
KINDS = tuple(OPTIONS)

_CUTS = (RESET, STALL, TRUNCATE)
_SHORT = {"after": "after_chunks"}  # as the header writes it


@dataclass(frozen=True)
class Fault:
    """One disturbance.

    - Refused, and not billed. A status: DeepSeek's error, for a `429` with Retry-After. `502`: HTML from what stands
      before DeepSeek. `silent`: the call is taken, and the connection closed without a word.
    - Billed, as DeepSeek bills what it has made, though the usage never comes through. `reset`: a TCP RST. `stall`:
      nothing more for `seconds`, then a reset. `truncate`: the connection is closed in an orderly way, but too early.
      `garbage`: a `bit` of noise inside the JSON, or noise in its place as a `whole`, and an ordinary end of HTTP.
      `no_usage`: nothing else is wrong with the answer.

    A stream is disturbed after so many chunks, at most before the one that says that the answer is complete; a body
    that is no stream always inside of it. `before_head` leaves not even the head.
    """

    kind: str
    after_chunks: int | None = None  # None: after a share of them
    before_head: bool = False
    seconds: float = 1.0
    retry_after: int = 1  # seconds
    noise: str = BIT
    share: float = 0.5  # of what is sent, from 0 to below 1

    @property
    def refuses(self) -> bool:
        """The call is not answered at all."""
        return self.kind not in (*_CUTS, GARBAGE, NO_USAGE)

    @property
    def cuts(self) -> bool:
        """The connection does not outlive the call."""
        return self.kind in _CUTS

    def chunks_before(self, count: int) -> int:
        """How many of so many chunks come through."""
        wanted = int(self.share * count) if self.after_chunks is None else self.after_chunks
        return min(wanted, count)

    def bytes_before(self, length: int) -> int:
        """How many of so many bytes come through."""
        return int(self.share * length)


def parse_fault(text: str) -> Fault:
    """A fault as the header writes it: `reset;after=3`, `stall;before_head;seconds=0.5`, `429;retry_after=2`."""
    kind, *options = (part.strip() for part in text.split(";"))
    fields: dict[str, object] = {"kind": kind}
    for option in options:
        name, given, value = option.partition("=")
        name = _SHORT.get(name, name)
        if name in fields:
            raise BadInputError(name, value, "give it once")
        fields[name] = _value(value) if given else True
    return read_fault(fields)


def read_fault(fields: Mapping[str, object]) -> Fault:
    """A fault given by its fields; what does not belong to its kind is refused."""
    kind, options = str(fields.get("kind", "")), {name: fields[name] for name in fields if name != "kind"}
    if kind not in OPTIONS:
        raise BadInputError("kind", kind, f"choose {', '.join(KINDS)}")
    for name, value in options.items():
        if name not in OPTIONS[kind]:
            known = " and ".join(OPTIONS[kind]) or "nothing"
            raise BadInputError(name, value, f"{kind} takes {known} besides its name")
        is_good, remedy = _CHECKS[name]
        if not is_good(value):
            raise BadInputError(name, value, remedy)
    if options.get("before_head") and "after_chunks" in options:
        raise BadInputError("after_chunks", options["after_chunks"], "leave it out; nothing comes before the head")
    return Fault(kind, **options)  # type: ignore[arg-type]  # checked one by one above


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "after_chunks": (_is_count, "give a whole number of chunks, 0 or more"),
    "before_head": (lambda value: isinstance(value, bool), "give true or false"),
    "seconds": (_is_duration, "give seconds, 0 or more"),
    "retry_after": (_is_count, "give a whole number of seconds, 0 or more"),
    "noise": (lambda value: value in NOISES, f"choose {' or '.join(NOISES)}"),
}
