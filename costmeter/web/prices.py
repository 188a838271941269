"""The page of prices: what each model costs, cost and when; the week's bands; and what a call would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from sqlalchemy import Connection

from costmeter.core.access import Grant
from costmeter.core.errors import CostmeterError, DetachedError, InputError
from costmeter.core.money import CURRENCIES, check_currency
from costmeter.core.periods import Period, zone
from costmeter.core.price_book import TOKEN_METERS, PriceBook
from costmeter.core.usage import Usage
from costmeter.reports.prices import (
    bands_at,
    checked_prices,
    known_name,
    names_shape,
    price_history,
    prices_at,
    rate_steps,
)
from costmeter.reports.spend import spend_report
from costmeter.reports.week import coming_holidays, week_of_bands
from costmeter.services.quote_call import quote_call
from costmeter.store.accounts import Account
from costmeter.store.scope import Scope
from costmeter.web.access import visitor_of
from costmeter.web.choosing import Chosen, choose_account
from costmeter.web.local_time import local_text, read_instant
from costmeter.web.price_charts import rate_chart
from costmeter.web.route import PageRoute, status_of
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
PATH = "/prices"
USED = timedelta(days=30)  # back to which a model counts as used
_COUNTS = ("cache_hit", "cache_miss", "output")
_FIRST, _LAST = date(2000, 1, 1), date(2100, 1, 1)


class Asked(NamedTuple):
    """The filters, and the call to be priced, as an address has them; an empty one is none."""

    account: str | None = None
    timezone: str | None = None
    model: str | None = None
    currency: str | None = None
    week: str | None = None
    completed_at: str | None = None
    cache_hit: str | None = None
    cache_miss: str | None = None
    output: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """The filters of an address; what else it has is none of ours."""
        return cls(*(query.get(name) or None for name in cls._fields))

    def query(self, **changed: str | None) -> str:
        """The address with some of them changed, without those that are not set."""
        found = self._asdict() | changed
        return urlencode({name: value for name, value in found.items() if value is not None})

    def is_quote(self) -> bool:
        """Whether a call is to be priced."""
        return any(getattr(self, name) is not None for name in (*_COUNTS, "completed_at"))


class Meter(NamedTuple):
    """The history of one meter, as a chart and as rows."""

    name: str
    drawing: Markup
    steps: Sequence[Mapping[str, Any]]


@router.get(PATH)
def prices(request: Request) -> Response:
    """Prices, of the model, currency and time zone that the address names."""
    visitor, site = visitor_of(request), site_of(request)
    asked, now, book = Asked.of(request.query_params), site.now(), site.book
    with site.reading() as connection:
        chosen = _chosen(connection, visitor.grant, asked)
        used = [] if chosen.account is None else _used(connection, chosen.account, now)
    currency = asked.currency or (chosen.account.currency if chosen.account else CURRENCIES[0])
    check_currency(currency)
    model = _model(book, asked.model, used, currency, now)
    first = _week(asked.week, now, chosen.timezone)
    quote, error = _quoted(book, asked, model, currency, chosen.timezone)
    return page(
        request,
        "prices",
        visitor=visitor,
        status=200 if error is None else status_of(error),
        chosen=chosen,
        asked=asked._replace(model=model, currency=currency, timezone=chosen.timezone),
        currencies=CURRENCIES,
        used=used,
        names=_names(book, used),
        now=now,
        bands=bands_at(book, [model], currency, now),
        listed=_listed(book, currency, used, now),
        history=price_history(book, model)[::-1],
        meters=_meters(book, model, currency, now),
        week=week_of_bands(book, model, currency, first, timezone=chosen.timezone, now=now),
        weeks={name: (first + timedelta(days=days)).isoformat() for name, days in (("before", -7), ("after", 7))},
        holidays=coming_holidays(book, model, now),
        checked=checked_prices(book, now),
        aliases=names_shape(book),
        quote=quote,
        wrong=None if error is None else str(error),
        field=getattr(error, "field", None),
        completed_at=asked.completed_at or local_text(now, chosen.timezone),
    )


def _chosen(connection: Connection, grant: Grant, asked: Asked) -> Chosen:
    """The account whose models stand first. Prices are no secret: who sees no whole account sees them all the same."""
    if grant.projects is None:
        return choose_account(connection, grant, asked.account, asked.timezone)
    timezone = asked.timezone or "UTC"
    zone(timezone)
    return Chosen(None, (), timezone)


def _used(connection: Connection, account: Account, now: datetime) -> list[str]:
    """The models that an account used of late, the dearest first; none where calls of that time are detached."""
    scope = Scope(period=_days_before(now, account.timezone), account=account.account)
    try:
        rows = spend_report(connection, scope, by=("model",)).rows.to_dict("records")
    except DetachedError:
        return []
    return [row["model"] for row in sorted(rows, key=lambda row: (-row["cost"], row["model"]))]


def _days_before(now: datetime, timezone: str) -> Period:
    """Whole days, which rollups answer for, up to the end of today."""
    midnight = now.astimezone(zone(timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return Period((midnight - USED).astimezone(now.tzinfo), (midnight + timedelta(days=1)).astimezone(now.tzinfo))


def _model(book: PriceBook, asked: str | None, used: Sequence[str], currency: str, now: datetime) -> str:
    """The model that is meant: the one asked for, else the one used most, else the first that has a price."""
    if asked is not None:
        return known_name(book, asked).name
    priced = [name for name in book.names if book.step_at(name, currency, now) is not None]
    return next((name for name in used if name in book.names), (priced or [*book.names])[0])


def _names(book: PriceBook, used: Sequence[str]) -> dict[str, list[str]]:
    """The names to choose from: those the account uses, and the others."""
    mine = [name for name in used if name in book.names]
    return {"used": mine, "others": sorted({*book.names} - {*mine})}


def _listed(book: PriceBook, currency: str, used: Sequence[str], now: datetime) -> list[dict[str, Any]]:
    """What models cost now in a currency, those that are used first."""
    rows = [row for row in prices_at(book, now)["prices"] if row["currency"] == currency]
    place = {name: number for number, name in enumerate(used)}
    return sorted(rows, key=lambda row: (place.get(row["model"], len(place)), row["model"]))


def _meters(book: PriceBook, model: str, currency: str, now: datetime) -> list[Meter]:
    steps = rate_steps(book, model, currency)
    names = dict.fromkeys([*TOKEN_METERS, *(step["meter"] for step in steps)])
    by_meter = {name: [step for step in steps if step["meter"] == name] for name in names}
    return [Meter(name, rate_chart(own, now), own) for name, own in by_meter.items() if own]


def _week(asked: str | None, now: datetime, timezone: str) -> date:
    """The Monday of the week that a day is in, by default of this week."""
    day = now.astimezone(zone(timezone)).date()
    if asked is not None:
        try:
            day = date.fromisoformat(asked)
        except ValueError:
            raise InputError("week", asked, "write a day of it as YYYY-MM-DD") from None
        if not _FIRST <= day <= _LAST:
            raise InputError("week", asked, f"choose a day from {_FIRST} to {_LAST}")
    return day - timedelta(days=day.weekday())


def _quoted(
    book: PriceBook, asked: Asked, model: str, currency: str, timezone: str
) -> tuple[dict[str, Any] | None, CostmeterError | None]:
    """What the call that the address names would cost, or what is wrong with it; neither where it names none."""
    if not asked.is_quote():
        return None, None
    try:
        hit, miss, output = (_tokens(name, getattr(asked, name)) for name in _COUNTS)
        if asked.completed_at is None:
            raise InputError("completed_at", None, "is missing; say when the call completes")
        completed_at = read_instant(asked.completed_at, "completed_at", timezone)
        charge = quote_call(
            book, model=model, completed_at=completed_at, usage=Usage(hit, miss, output), currency=currency
        )
    except CostmeterError as error:
        return None, error
    return charge.as_dict(), None


def _tokens(name: str, text: str | None) -> int:
    """A count of tokens; none is 0."""
    digits = (text or "0").replace(" ", "").replace(",", "")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
        raise InputError(name, text, "write a whole number of tokens")
    return int(digits)
