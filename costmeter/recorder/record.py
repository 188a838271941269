"""How a call ended, and its usage event as CONTRACT.md has it: made of its draft in the thread that delivers."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple

from costmeter.core.events import FAILED, OK, PROVIDERS, UNMETERED
from costmeter.core.periods import format_instant, parse_instant
from costmeter.recorder.attribution import text
from costmeter.recorder.reading import DRIVING_AWAY, Reading

CLOSED_EARLY = "closed early by the caller"
TIMED_OUT = "timed out"
TIMED_OUT_AT_VENDOR = "timed out at 30 minutes"
# "if the request is not completed after 30 minutes, the server will close the connection" (api-docs.deepseek.com,
# quick_start/rate_limit); what the network adds or takes is allowed for.
VENDOR_PATIENCE = 30 * 60 - 5
UNKNOWN_MODEL = "unknown"  # neither the request nor the response could be read

# Errors of HTTP clients, by name, after which it is certain that the vendor never got the request.
_NEVER_SENT = (
    *("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"),  # httpx
    *("ClientConnectorError", "ConnectionTimeoutError", "ClientHttpProxyError"),  # aiohttp
)
_DETAILS = ("stream", "tags_dropped", "bytes", "chunks", "characters")  # of a draft: where the event has its detail


class Ending(NamedTuple):
    """How a call ended where it did not end by itself: why, and the error where the request was never sent."""

    reason: str
    never_sent: str | None = None


def ending_of(error: BaseException) -> Ending:
    """What an error says of a call: its name tells whether the request was sent, and what cut it off."""
    name = type(error).__name__
    if not isinstance(error, Exception):
        return Ending(CLOSED_EARLY)  # cancelled, interrupted, or the reader went away
    if any(kind.__name__ in _NEVER_SENT for kind in type(error).__mro__):
        return Ending(f"never sent: {name}", never_sent=name)
    is_timeout = isinstance(error, TimeoutError) or any("Timeout" in kind.__name__ for kind in type(error).__mro__)
    return Ending(TIMED_OUT if is_timeout else f"cut off: {name}")


def outcome(http_status: int | None, reading: Reading, ending: Ending | None, *, elapsed: float) -> dict[str, Any]:
    """Status, usage and, where there is no usage, what is known of why."""
    if http_status is None:
        if ending is not None and ending.never_sent:
            return {"status": FAILED, "usage": None, "error_code": ending.never_sent}
        said = {}
    elif not 200 <= http_status < 300:
        return {"status": FAILED, "usage": None, "http_status": http_status, "error_code": text(reading.error_code)}
    else:
        said = {"http_status": http_status}
    if reading.usage is not None:
        return {"status": OK, "usage": reading.usage, **said}
    reason = reading.problem if ending is None or reading.problem in DRIVING_AWAY else ending.reason
    if elapsed >= VENDOR_PATIENCE and reason != CLOSED_EARLY:
        reason = TIMED_OUT_AT_VENDOR
    return {"status": UNMETERED, "usage": None, **said, "error_code": text(reading.error_code), "reason": reason}


def complete(draft: dict[str, Any]) -> dict[str, Any]:
    """The usage event of a draft; that of an intent lacks what only the end of its call tells.

    Raises KeyError, TypeError or ValueError where it is neither.
    """
    intent, ended = draft["intent"], draft.get("ended", {})
    said = {**intent.pop("attribution"), **intent.pop("asked"), **ended}
    event = {"provider": PROVIDERS[0], **intent, **said}
    event["model"] = said.get("model") or said["requested_model"] or UNKNOWN_MODEL
    event["detail"] = detail = {name: event.pop(name) for name in _DETAILS if name in said}
    if ended:
        started_at = parse_instant(intent["started_at"])
        event["completed_at"] = format_instant(completion(started_at, event.pop("elapsed")))
        date, elapsed = event.pop("answered") or ("", 0.0)
        server_at = read_date(date)
        if server_at is not None:
            detail["clock_offset_seconds"] = round(server_at - started_at.timestamp() - elapsed, 3)
    return event


@lru_cache(maxsize=16)
def read_date(header: str) -> float | None:
    """The instant of a Date header in seconds since 1970; many calls a second see the same one."""
    try:
        instant = parsedate_to_datetime(header)
        return instant.timestamp() if instant.tzinfo is not None else None
    except (ValueError, TypeError, OverflowError):
        return None


def completion(started_at: datetime, elapsed: float) -> datetime:
    """The instant so many seconds after the start, to the microsecond and never before it."""
    return started_at + timedelta(seconds=max(0.0, elapsed))
