"""The routes that DeepSeek does not have: looking into the books, paying in, moving the clock, asking for faults."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from costmeter.simulator.clock import SimulatorClock
from costmeter.simulator.errors import BadInputError
from costmeter.simulator.exports import NEW, export_zip
from costmeter.simulator.faults import read_fault
from costmeter.simulator.instants import format_instant, parse_instant, parse_seconds
from costmeter.simulator.routes import plan_of, vendor_of


async def show_ledger(request: Request) -> Response:
    """Exact balances and every call that was billed."""
    return JSONResponse(vendor_of(request).ledger.as_json())


async def add_credit(request: Request) -> Response:
    """Pays in; answers with the exact balances afterwards."""
    fields = await _fields(request, "kind", "amount", "expires_at")
    expires_at = fields.get("expires_at")
    ledger = vendor_of(request).ledger
    ledger.add_credit(
        fields.get("kind", ""),
        fields.get("amount", ""),
        expires_at=None if expires_at is None else parse_instant(expires_at, "expires_at"),
    )
    return JSONResponse({"currency": ledger.currency, **ledger.balance().as_json()}, 201)


async def export_usage(request: Request) -> Response:
    """The ZIP that the console would export of all calls: ?form=old|new&hours=1|24&offset_minutes=480."""
    asked = {"form": NEW, "hours": "24", "offset_minutes": "0"} | dict(request.query_params)
    numbers = [_number(name, asked[name]) for name in ("hours", "offset_minutes")]
    ledger = vendor_of(request).ledger
    zipped = export_zip(ledger.calls, ledger.currency, form=asked["form"], hours=numbers[0], offset_minutes=numbers[1])
    return Response(zipped, media_type="application/zip")


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInputError(name, text, "give a whole number") from None


async def show_clock(request: Request) -> Response:
    """What time it is for the simulator."""
    return JSONResponse({"now": format_instant(vendor_of(request).clock.now())})


async def move_clock(request: Request) -> Response:
    """Sets the clock, or lets time pass; the clock of the host cannot be moved."""
    fields = await _fields(request, "now", "advance_seconds")
    clock = vendor_of(request).clock
    if not isinstance(clock, SimulatorClock):
        raise BadInputError(
            "clock", "host", "start the simulator at an instant of its own to be able to move its clock"
        )
    if len(fields) != 1:
        raise BadInputError("body", fields, 'give either "now" or "advance_seconds"')
    if "now" in fields:
        now = clock.set(parse_instant(fields["now"], "now"))
    else:
        now = clock.advance(parse_seconds(fields["advance_seconds"], "advance_seconds"))
    return JSONResponse({"now": format_instant(now)})


async def show_faults(request: Request) -> Response:
    """How many calls there were, how they went, and how many of the next ones are to be disturbed."""
    return JSONResponse({**vendor_of(request).tally.as_json(), "waiting": plan_of(request).waiting})


async def ask_for_faults(request: Request) -> Response:
    """Disturbs the next `count` calls, 1 if it is not given."""
    fields = await _fields(request, "kind", "count", "after_chunks", "before_head", "seconds", "retry_after", "noise")
    count = fields.pop("count", 1)
    plan = plan_of(request)
    plan.disturb_next(read_fault(fields), count)
    return JSONResponse({"waiting": plan.waiting}, 201)


async def _fields(request: Request, *known: str) -> dict[str, Any]:
    """The body's fields; one that is not known is refused, since it may be a known one misspelt."""
    body = await request.body()
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        shown = body[:80].decode("utf-8", "replace")
        raise BadInputError("body", shown, f"send a JSON object with {' or '.join(known)}")
    for name, value in fields.items():
        if name not in known:
            raise BadInputError(name, value, f"no such field; there are {', '.join(known)}")
    return fields
