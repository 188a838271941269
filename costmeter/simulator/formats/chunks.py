"""What the chunks of chat and FIM completions have in common."""

from __future__ import annotations

from collections.abc import Mapping

from costmeter.simulator.calls import Call, Completion
from costmeter.simulator.formats.events import DONE, event

SYSTEM_FINGERPRINT = "fp_simulator"

Choice = Mapping[str, object]


def head(call: Call, kind: str) -> dict[str, object]:
    """What every body and every chunk begins with."""
    return {"id": call.id, "object": kind, "created": call.created, "model": call.request.model}


def body(call: Call, kind: str, choice: Choice, completion: Completion) -> dict[str, object]:
    """The whole answer."""
    usage = {} if completion.usage is None else {"usage": completion.usage.as_json()}
    return {**head(call, kind), "choices": [choice], **usage, "system_fingerprint": SYSTEM_FINGERPRINT}


def chunk(call: Call, kind: str, choices: list[Choice], usage: dict[str, object] | None = None) -> bytes:
    """One chunk. Where there is nothing to tell, `usage` is null with include_usage and not there without it."""
    tail = {"usage": usage} if usage or call.request.include_usage else {}
    return event({**head(call, kind), "system_fingerprint": SYSTEM_FINGERPRINT, "choices": choices, **tail})


def last_chunks(call: Call, kind: str, choice: Choice, completion: Completion) -> bytes:
    """The chunk with the finish reason, which has the usage whatever was asked for, and the end mark.

    A trailing usage comes in a chunk of its own that has no choice.
    """
    usage = completion.usage.as_json() if completion.usage else None
    if completion.trailing and usage:
        return chunk(call, kind, [choice]) + chunk(call, kind, [], usage) + DONE
    return chunk(call, kind, [choice], usage) + DONE
