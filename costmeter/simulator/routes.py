"""DeepSeek's own routes."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from costmeter.simulator.errors import VendorError
from costmeter.simulator.money import round_amount
from costmeter.simulator.prices import models_at
from costmeter.simulator.requests import read_chat_request
from costmeter.simulator.streams import AnswerStream
from costmeter.simulator.vendor import Vendor
from costmeter.simulator.wire import completion

_BEARER = re.compile(r"Bearer (sk-\S+)", re.IGNORECASE)


async def chat_completions(request: Request) -> Response:
    """One chat completion, streamed or whole."""
    vendor, api_key = vendor_of(request), _authenticated(request)
    call = vendor.admit(api_key, read_chat_request(await request.body()))
    if call.request.stream:
        return AnswerStream(vendor, call)
    vendor.complete(call)
    return Response(completion(call), media_type="application/json")


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


def _authenticated(request: Request) -> str:
    """The key of the call; any that looks like DeepSeek's is good."""
    header = request.headers.get("authorization")
    if header is None:
        message = "Authentication Fails (auth header format should be Bearer sk-...)"
        raise VendorError(401, message, "authentication_error")
    bearer = _BEARER.fullmatch(header)
    if bearer is None:
        raise VendorError(
            401, f"Authentication Fails, Your api key: ****{header[-4:]} is invalid", "authentication_error"
        )
    return bearer[1]
