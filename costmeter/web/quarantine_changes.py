"""Deciding about items of quarantine by a form: to send them again, or that they are not to be recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from costmeter.core.access import FINANCE
from costmeter.core.errors import CostmeterError, InputError
from costmeter.core.periods import format_instant
from costmeter.reports.shapes import item_shape
from costmeter.services.discard_items import discard_items
from costmeter.services.replay_items import named_items, refused_items, replay_items
from costmeter.store.quarantine import CONFLICT, MALFORMED, OPEN, Item
from costmeter.web.access import Form, Visitor
from costmeter.web.changes import changer_of, check_change, done, filled
from costmeter.web.choosing import listed_account
from costmeter.web.quarantine import own_items
from costmeter.web.route import PageRoute, status_of
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
MOST = 100  # items that are named at once
MOST_ALL = 1_000  # items that are sent again at once, where all are meant
OUTCOME = "/quarantine/outcome"
Names = list[str]


@router.get("/quarantine/replay")
def ask_replay(request: Request) -> Response:
    """The form that says what sending items again will do."""
    query = request.query_params
    asked = _asked(query.getlist("item"), query.get("all"), query.get("account"))
    return _replay_form(request, changer_of(request, FINANCE), asked, {})


@router.post("/quarantine/replay")
def replay(request: Request, form: Form) -> Response:
    """Send items again as they were kept; the page after it tells what became of each."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    asked = _asked(form.get("items", "").split(), form.get("all"), form.get("account"))
    event_id, now = form.get("event_id", "").strip() or None, site.now()
    try:
        check_change(request, visitor, form)
        if asked["all"] and event_id is not None:
            raise InputError("event_id", event_id, "gives one conflict an id of its own; choose that item alone")
        with site.reading() as connection:
            if asked["all"]:
                chosen = _all_refused(connection, visitor, asked)[:MOST_ALL]
            else:
                own_items(connection, visitor.grant, asked["items"])
                chosen = named_items(connection, _some(asked["items"]), event_id)
        replay_items(
            site.engine,
            chosen,
            book=site.book,
            home=site.home,
            by=visitor.grant.who,
            event_id=event_id,
            now=now,
        )
    except CostmeterError as error:
        return _replay_form(request, visitor, asked, form, error)
    told = {"items": " ".join(asked["items"]), "at": None, "account": None}
    if asked["all"]:
        told = {"items": None, "at": format_instant(now), "account": asked["account"]}
    return done(OUTCOME, "replayed", **told)


@router.get("/quarantine/discard")
def ask_discard(request: Request) -> Response:
    """The form that asks why items are not to be recorded."""
    return _discard_form(request, changer_of(request, FINANCE), request.query_params.getlist("item"), {})


@router.post("/quarantine/discard")
def discard(request: Request, form: Form) -> Response:
    """Discard items, all or none."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    names = form.get("items", "").split()
    try:
        check_change(request, visitor, form)
        with site.reading() as connection:
            own_items(connection, visitor.grant, names)
        discard_items(site.engine, _some(names), by=visitor.grant.who, reason=form.get("reason", ""), now=site.now())
    except CostmeterError as error:
        return _discard_form(request, visitor, names, form, error)
    return done(OUTCOME, "discarded", items=" ".join(names))


def _asked(names: Names, everything: str | None, account: str | None) -> dict[str, Any]:
    return {"items": names, "all": bool(everything), "account": account or None}


def _some(names: Names) -> Names:
    if not 0 < len(names) <= MOST:
        raise InputError("items", len(names), f"choose 1 to {MOST} items in the list of quarantine")
    return names


def _all_refused(connection: Connection, visitor: Visitor, asked: Mapping[str, Any]) -> list[Item]:
    return refused_items(connection, listed_account(visitor.grant, asked["account"]), limit=MOST_ALL + 1)


def _replay_form(
    request: Request,
    visitor: Visitor,
    asked: Mapping[str, Any],
    form: Mapping[str, str],
    error: CostmeterError | None = None,
) -> Response:
    """What will be done, and with which items it cannot be: only of refused ones everything is kept."""
    with site_of(request).reading() as connection:
        if asked["all"]:
            found = _all_refused(connection, visitor, asked)
        else:
            found = own_items(connection, visitor.grant, _some(asked["items"]))
    sent = [item for item in found if item.state == OPEN and item.kind != MALFORMED]
    return page(
        request,
        "quarantine_replay",
        visitor=visitor,
        status=200 if error is None else status_of(error),
        said=None if error is None else str(error),
        asked=asked,
        form=filled(form),
        sent=[item_shape(item) for item in sent[:MOST]],
        count=min(len(sent), MOST_ALL),
        has_more=len(sent) > MOST_ALL,
        unsent=_shapes(found, sent),
        is_conflict=len(sent) == 1 and sent[0].kind == CONFLICT,
    )


def _discard_form(
    request: Request,
    visitor: Visitor,
    names: Names,
    form: Mapping[str, str],
    error: CostmeterError | None = None,
) -> Response:
    with site_of(request).reading() as connection:
        found = own_items(connection, visitor.grant, _some(names))
    chosen = [item for item in found if item.state == OPEN]
    return page(
        request,
        "quarantine_discard",
        visitor=visitor,
        status=200 if error is None else status_of(error),
        said=None if error is None else str(error),
        form=filled(form),
        chosen=_shapes(chosen),
        decided=_shapes(found, chosen),
    )


def _shapes(items: Sequence[Item], without: Sequence[Item] = ()) -> list[dict[str, Any]]:
    left_out = {item.item for item in without}
    return [item_shape(item) for item in items if item.item not in left_out]
