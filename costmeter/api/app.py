"""The app: every route, behind its limits, with every error as a problem."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter, run_sync
from fastapi import FastAPI

from costmeter import __version__
from costmeter.api import (
    access,
    accounts,
    alerts,
    budget_report,
    budgets,
    credits,
    digest,
    events,
    exports,
    forecast,
    health,
    keys,
    lessons,
    models,
    prices,
    problems,
    quarantine,
    quote,
    reports,
    reservations,
    statements,
    traces,
)
from costmeter.api.limits import Limits
from costmeter.api.measures import Measures
from costmeter.api.service import Service
from costmeter.api.tracing import Traced

THREADS = 40  # requests that are worked on at once; the others wait
SECONDS_TO_POST = 30.0  # what a stopping server gives its poster to post what waits
SECONDS_TO_TELL = 20.0  # and what it gives its teller for the message that it has begun to send
_ABOUT = """Cost and usage accounting for the DeepSeek API.

Amounts are decimal strings with all their digits, never floats; instants are RFC 3339 and come out in UTC; intervals
are [from, to). Errors are RFC 9457 problems whose `type` leads to an explanation. Lists come in pages: hand
`next_cursor` back as `cursor`. A request that changes something may be sent again: events are known by their ids,
credits by their reference or an Idempotency-Key."""


def make_app(service: Service, *, metrics_folder: str | None = None) -> FastAPI:
    """The app of one process; it starts the service's poster, lookout and teller, and stops them when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = THREADS
        service.poster.start()
        if service.lookout is not None:
            service.lookout.start()
        if service.teller:
            service.teller.start()
        yield
        if service.lookout is not None:
            await run_sync(service.lookout.stop, SECONDS_TO_POST)
        await run_sync(service.poster.stop, SECONDS_TO_POST)
        if service.teller:
            await run_sync(service.teller.stop, SECONDS_TO_TELL)
        service.engine.dispose()

    app = FastAPI(
        title="costmeter",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.service, app.state.measures = service, Measures(metrics_folder)
    app.state.routes = []
    reported = (reports, lessons, forecast, digest, statements, exports)
    money = (quote, accounts, credits, budgets, alerts, budget_report, reservations, *reported, prices)
    for part in (events, traces, *money, quarantine, keys, health):
        app.include_router(part.router)
        app.state.routes += part.router.routes
    problems.handle(app)
    app.add_middleware(Limits)
    app.add_middleware(Traced, measures=app.state.measures)
    _document_problems(app)
    return app


def _document_problems(app: FastAPI) -> None:
    """The shape of a problem stands once in the document, for every route that takes a value; FastAPI's own nowhere."""
    made, refused = app.openapi, models.problems(422)[422]

    def openapi() -> dict[str, object]:
        document = made()
        schemas = document["components"]["schemas"]
        document["components"]["securitySchemes"] = {"key": access.SCHEME}
        schemas["Problem"] = models.Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in access.OPEN else [{"key": []}]
                if "422" in operation["responses"]:
                    operation["responses"]["422"] = refused
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents
