"""The page of an account's balance: what it has and had, its credits, what moved a month, and what DeepSeek said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from costmeter.core.access import FINANCE
from costmeter.core.errors import InputError
from costmeter.core.periods import check_month, month_after, month_before, month_of, zone
from costmeter.reports.balance import View, balance_report, settles
from costmeter.reports.shapes import observation_shape
from costmeter.store import observations
from costmeter.store.accounts import Account
from costmeter.web.access import visitor_of
from costmeter.web.balance_charts import balance_chart, waterfall
from costmeter.web.choosing import Chosen, choose_account
from costmeter.web.headers import PAGE
from costmeter.web.local_time import read_day
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
PATH = "/balance"
DAYS = 90  # that are shown at first
MOST_DAYS = 366
_INTEGER = 18  # digits of a number that a database can hold


class Asked(NamedTuple):
    """The filters as an address has them; an empty one is none."""

    account: str | None = None
    timezone: str | None = None
    first: str | None = None
    last: str | None = None
    month: str | None = None
    credits_before: str | None = None
    seen_before: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """The filters of an address; what else it has is none of ours."""
        return cls(*(query.get(name) or None for name in _NAMES))

    def query(self, **changed: str | int | None) -> str:
        """The address with some of them changed, without those that are not set."""
        found = {_NAMES[place]: value for place, value in enumerate(self)} | changed
        return urlencode({name: value for name, value in found.items() if value is not None})


_NAMES = ("account", "timezone", "from", "to", "month", "credits_before", "seen_before")  # as an address has them


@router.get("/accounts/{account:path}")
def account_page(request: Request, account: str) -> Response:
    """An account's page is that of its balance."""
    visitor_of(request)
    asked = {**request.query_params, "account": account}
    return RedirectResponse(f"{PATH}?{urlencode(asked)}", 303, headers=PAGE)


@router.get(PATH)
def balance(request: Request) -> Response:
    """The balance of the account that the address names, over the days and in the month that it names."""
    visitor, site = visitor_of(request), site_of(request)
    asked, now = Asked.of(request.query_params), site.now()
    with site.reading() as connection:
        chosen = choose_account(connection, visitor.grant, asked.account, asked.timezone)
        view = None if chosen.account is None else _view(chosen.account, chosen, asked, now)
        report = None if view is None else balance_report(connection, view, now)
    told: dict[str, Any] = {} if view is None or report is None else {
        "view": view,
        "days_chart": balance_chart(report["days"]["rows"]) if len(report["days"]["rows"]) > 1 else None,
        "month_chart": None if report["month"]["reason"] else waterfall(report["month"]),
        "months": _months(view, now),
        "as_deepseek": json.dumps(report["now"], indent=2),
        "today": now.astimezone(zone(chosen.timezone)).date().isoformat(),
    }  # fmt: skip
    may_change = visitor.grant.may(FINANCE) and visitor.grant.projects is None
    return page(
        request, "balance", visitor=visitor, chosen=chosen, asked=asked, report=report, may_change=may_change, **told
    )


@router.get(PATH + "/observations/{number}")
def observation(request: Request, number: str, account: str | None = None, timezone: str | None = None) -> Response:
    """A balance as DeepSeek said it, beside the ledger's, and what may explain a difference."""
    visitor, site = visitor_of(request), site_of(request)
    with site.reading() as connection:
        chosen = choose_account(connection, visitor.grant, account, timezone)
        name = chosen.account.account if chosen.account else account or ""
        seen = observations.get(connection, name, _number(number, "observation") or 0)
        settled = observations.last_settled(connection, name)
    shape = {**observation_shape(seen), "settled_by": settles(seen, settled)}
    body = json.dumps(shape["body"], indent=2, ensure_ascii=False)
    return page(request, "observation", visitor=visitor, seen=shape, body=body, timezone=chosen.timezone)


def _view(account: Account, chosen: Chosen, asked: Asked, now: datetime) -> View:
    """What the page tells; InputError where a filter means nothing."""
    today = now.astimezone(zone(chosen.timezone)).date()
    last = today if asked.last is None else read_day(asked.last, "to", today)
    first = last - timedelta(days=DAYS - 1) if asked.first is None else read_day(asked.first, "from", today)
    _check_days(first, last)
    month = month_of(now, account.timezone)
    if asked.month is not None and check_month(asked.month) > month:
        raise InputError("month", asked.month, f"has not begun; choose one up to {month}")
    return View(
        account,
        first,
        last,
        chosen.timezone,
        asked.month or month,
        _number(asked.credits_before, "credits_before"),
        _number(asked.seen_before, "seen_before"),
    )


def _check_days(first: date, last: date) -> None:
    if first > last:
        raise InputError("from", first.isoformat(), f"is after the last day, {last.isoformat()}")
    if (last - first).days >= MOST_DAYS:
        raise InputError("from", first.isoformat(), f"choose at most {MOST_DAYS} days up to {last.isoformat()}")


def _number(text: str | None, field: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _INTEGER):
        raise InputError(field, text, "use the links of the page")
    return int(text)


def _months(view: View, now: datetime) -> dict[str, str | None]:
    """The months beside the one that is shown; none after the present one."""
    following = month_after(view.month)
    present = month_of(now, view.account.timezone)
    return {"before": month_before(view.month), "after": following if following <= present else None}
