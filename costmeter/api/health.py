"""Whether the service lives and can be used, what it counts, and what its problems mean."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from costmeter import __version__
from costmeter.api import models
from costmeter.api.access import Serving, Watcher
from costmeter.api.answers import Json
from costmeter.api.problems import KINDS, problem
from costmeter.core.errors import SetupError
from costmeter.store import schema

router = APIRouter(tags=["operation"])
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/healthz", operation_id="is_alive", summary="Whether the process lives")
def alive() -> Json:
    return Json({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="is_ready",
    summary="Whether it can be used",
    responses=models.problems(503),
)
def ready(service: Serving) -> Json:
    """The database can be reached, its schema is the newest, and this process's poster lives: nothing else."""
    try:
        schema.check(service.engine)
    except SetupError as error:
        return problem("unavailable", str(error))
    except SQLAlchemyError:
        return problem("unavailable", "the database cannot be reached")
    if not service.poster.is_alive():
        return problem("unavailable", "the poster of this process has ended; start the process again")
    return Json({"status": "ok"})


@router.get("/version", operation_id="get_version", summary="The version, and the price book's edition")
def version(service: Serving) -> Json:
    return Json({"version": __version__, "edition": service.book.edition})


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="What Prometheus scrapes",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **models.problems(401, 403, 503)},
)
def metrics(request: Request, service: Serving, _: Watcher) -> Response:
    """Counters of the processes and the state of the books; needs a key that may read all accounts."""
    return Response(request.app.state.measures.exposition(service), media_type=CONTENT_TYPE)


@router.get(
    "/problems/{name}",
    operation_id="get_problem",
    summary="What a problem's type means",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **models.problems(404)},
)
def explained(name: str) -> Response:
    """What the `type` of an error leads to: its title and what to do."""
    kind = KINDS.get(name)
    if kind is None:
        raise HTTPException(404, "there is no such problem")
    return Response(f"{kind.title} ({kind.status})\n\n{kind.remedy}\n", media_type="text/plain")
