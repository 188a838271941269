"""DeepSeek's own routes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from costmeter.simulator.client import Client
from costmeter.simulator.deliveries import AnswerStream, WholeAnswer
from costmeter.simulator.errors import BAD_GATEWAY_PAGE, BadInputError, VendorError, refusal
from costmeter.simulator.fault_plan import FaultPlan
from costmeter.simulator.faults import BAD_GATEWAY, RATE_LIMITED, SILENT, Fault
from costmeter.simulator.formats.format import Format
from costmeter.simulator.formats.messages import MESSAGES
from costmeter.simulator.money import round_amount
from costmeter.simulator.prices import models_at
from costmeter.simulator.tokens import count_tokens
from costmeter.simulator.vendor import Vendor

FAULT_HEADER = "x-simulator-fault"
LABEL_HEADER = "x-simulator-label"  # comes back in the bill, for whoever compares books call by call

Endpoint = Callable[[Request], Awaitable[ASGIApp]]

_BEARER = re.compile(r"Bearer (sk-\S+)", re.IGNORECASE)
_KEY = re.compile(r"sk-\S+")


def answering(form: Format) -> Endpoint:
    """The endpoint for calls of a format: answered, streamed or whole, or disturbed as it was asked for."""

    async def answer(request: Request) -> ASGIApp:
        vendor, body = vendor_of(request), await request.body()
        try:
            fault = plan_of(request).for_call(request.headers.get(FAULT_HEADER))
            if fault and fault.refuses:
                vendor.tally.refuse(fault.kind, on_demand=True)
                return _refuse(fault)
            label = request.headers.get(LABEL_HEADER)
            call = vendor.admit(_authenticated(request, form), form.read_request(body), label=label)
        except VendorError as error:
            vendor.tally.refuse(str(error.status))
            raise
        except BadInputError:
            vendor.tally.refuse("400")
            raise
        delivery = AnswerStream if call.request.stream else WholeAnswer
        return delivery(vendor, call, form, fault)

    return answer


async def count_message_tokens(request: Request) -> Response:
    """The tokens that a message would have; nothing is billed, and no fault disturbs it."""
    body = await request.body()
    _authenticated(request, MESSAGES)
    asked, vendor = MESSAGES.read_request(body), vendor_of(request)
    vendor.tariff_of(asked, vendor.clock.now())
    return JSONResponse({"input_tokens": count_tokens(asked.prompt)})


async def models(request: Request) -> Response:
    """The models that have a price at the simulator's instant."""
    _authenticated(request)
    names = models_at(vendor_of(request).clock.now())
    return JSONResponse(
        {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "deepseek"} for name in names]}
    )


async def balance(request: Request) -> Response:
    """The balance in two decimals, half a cent away from zero, each amount rounded by itself.

    So the parts need not add up to the total, and a small debt is "-0.00". The exact amounts are in /_simulator/ledger.
    """
    _authenticated(request)
    ledger = vendor_of(request).ledger
    there = ledger.balance()
    amounts = {
        "currency": ledger.currency,
        "total_balance": round_amount(there.total),
        "granted_balance": round_amount(there.granted),
        "topped_up_balance": round_amount(there.topped_up),
    }
    return JSONResponse({"is_available": there.total > 0, "balance_infos": [amounts]})


def vendor_of(request: Request) -> Vendor:
    """The vendor that this application was created with."""
    vendor = request.app.state.vendor
    assert isinstance(vendor, Vendor)
    return vendor


def plan_of(request: Request) -> FaultPlan:
    """Which calls this application disturbs."""
    plan = request.app.state.plan
    assert isinstance(plan, FaultPlan)
    return plan


def _authenticated(request: Request, form: Format | None = None) -> str:
    """The key of the call; any that looks like DeepSeek's is good."""
    x_api_key = request.headers.get("x-api-key") if form and form.takes_x_api_key else None
    header = x_api_key or request.headers.get("authorization")
    if header is None:
        message = "Authentication Fails (auth header format should be Bearer sk-...)"
        raise VendorError(401, message, "authentication_error")
    found = _KEY.fullmatch(header) if x_api_key else _BEARER.fullmatch(header)
    if found is None:
        raise VendorError(
            401, f"Authentication Fails, Your api key: ****{header[-4:]} is invalid", "authentication_error"
        )
    return found[found.re.groups]


def _refuse(fault: Fault) -> ASGIApp:
    """What a call is sent that is refused on demand."""
    if fault.kind == SILENT:
        return _close
    if fault.kind == BAD_GATEWAY:
        return HTMLResponse(BAD_GATEWAY_PAGE, int(BAD_GATEWAY))
    headers = {"retry-after": str(fault.retry_after)} if fault.kind == RATE_LIMITED else None
    error = refusal(int(fault.kind))
    return JSONResponse(error.as_json(), error.status, headers)


async def _close(scope: Scope, receive: Receive, send: Send) -> None:
    await Client(scope, receive, send).close()
