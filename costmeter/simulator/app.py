"""The simulator as an ASGI application."""

from __future__ import annotations

import uuid
from email.utils import format_datetime

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from costmeter.simulator import control, routes
from costmeter.simulator.clock import Clock
from costmeter.simulator.errors import BadInputError, VendorError, error_body
from costmeter.simulator.fault_plan import FaultPlan
from costmeter.simulator.formats.chat import CHAT
from costmeter.simulator.formats.fim import FIM
from costmeter.simulator.formats.messages import MESSAGES
from costmeter.simulator.formats.responses import RESPONSES
from costmeter.simulator.vendor import Vendor

FORMATS = {
    "/chat/completions": CHAT,
    "/v1/chat/completions": CHAT,
    "/beta/completions": FIM,
    "/responses": RESPONSES,
    "/v1/responses": RESPONSES,
    "/anthropic/v1/messages": MESSAGES,
}


def create_app(vendor: Vendor, plan: FaultPlan) -> Starlette:
    """DeepSeek's routes and the simulator's own."""
    app = Starlette(
        routes=[
            *(_post(path, routes.answering(form)) for path, form in FORMATS.items()),
            _post("/anthropic/v1/messages/count_tokens", routes.count_message_tokens),
            _get("/models", routes.models),
            _get("/v1/models", routes.models),
            _get("/user/balance", routes.balance),
            _get("/_simulator/ledger", control.show_ledger),
            _post("/_simulator/credits", control.add_credit),
            _get("/_simulator/export", control.export_usage),
            _get("/_simulator/clock", control.show_clock),
            _post("/_simulator/clock", control.move_clock),
            _get("/_simulator/faults", control.show_faults),
            _post("/_simulator/faults", control.ask_for_faults),
        ],
        middleware=[Middleware(VendorHeaders, clock=vendor.clock)],
        exception_handlers={
            VendorError: _refuse_as_vendor,
            BadInputError: _refuse_bad_input,
            HTTPException: _refuse_route,
            ClientDisconnect: _nobody_listens,
        },
    )
    app.router.redirect_slashes = False  # DeepSeek knows each path in one spelling.
    app.state.vendor = vendor
    app.state.plan = plan
    return app


class VendorHeaders:
    """Puts the simulator's date and a trace id on every answer."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["date"] = format_datetime(self._clock.now(), usegmt=True)
                headers["x-ds-trace-id"] = uuid.uuid4().hex
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _get(path: str, endpoint: routes.Endpoint) -> Route:
    return Route(path, endpoint, methods=["GET"])


def _post(path: str, endpoint: routes.Endpoint) -> Route:
    return Route(path, endpoint, methods=["POST"])


async def _refuse_as_vendor(_request: Request, error: Exception) -> Response:
    assert isinstance(error, VendorError)
    return JSONResponse(error.as_json(), error.status)


async def _refuse_bad_input(_request: Request, error: Exception) -> Response:
    return JSONResponse(error_body(str(error)), 400)


async def _refuse_route(request: Request, error: Exception) -> Response:
    """404 for a path that is not there, 405 for a method that it does not take."""
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: {request.method} {request.scope['path']}"
    return JSONResponse(error_body(message), error.status_code, error.headers)


async def _nobody_listens(_request: Request, _error: Exception) -> Response:
    """The client left while it was still sending; the answer goes nowhere."""
    return Response(status_code=400)
