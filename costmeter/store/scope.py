"""What a report is about: which calls, in which currency, of which interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Text, func, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from costmeter.core.errors import InputError
from costmeter.core.periods import Period, check_month, format_instant, month_period
from costmeter.core.secrets import without_secrets
from costmeter.store import accounts, detached
from costmeter.store.accounts import Account
from costmeter.store.known import by_then
from costmeter.store.tables import AccountRow, ChargeRow, EventRow, QuarantineRow

FILTERS: Mapping[str, Any] = {
    "account": EventRow.account,
    "project": EventRow.project,
    "user": EventRow.user_name,
    "api_key": EventRow.api_key,
    "model": EventRow.model,
    "band": ChargeRow.band,
}


class _Tag(FunctionElement[str | None]):
    """The value of a tag, whatever its name: SQLite's JSON paths cannot say a quote or a backslash."""

    inherit_cache = True

    def __init__(self, *clauses: Any) -> None:
        super().__init__(*clauses)
        self.type = cast("TypeEngine[str | None]", Text())


@compiles(_Tag)
def _compile_tag(element: _Tag, compiler: SQLCompiler, **options: Any) -> str:
    tags, name = (compiler.process(clause, **options) for clause in element.clauses)
    if compiler.dialect.name == "postgresql":
        return f"({tags} ->> {name})"
    return f"(SELECT value FROM json_each({tags}) WHERE key = {name})"  # noqa: S608  a column and a bound parameter


@dataclass(frozen=True, slots=True)
class Scope:
    """A billing month, or calls completed in [from, to); one account or all; one currency."""

    month: str | None = None
    period: Period | None = None
    account: str | None = None
    currency: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    known_at: datetime | None = None  # only what had come by then

    @classmethod
    def checked(
        cls,
        *,
        month: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        account: str | None = None,
        currency: str | None = None,
        where: Sequence[str] = (),
        known_at: datetime | None = None,
    ) -> Scope:
        """A scope of the options as they are given; raises InputError where they contradict each other."""
        if (month is None) == (start is None and end is None):
            raise InputError("month", month, "give either a month, or from and to")
        account = None if account is None else without_secrets(account)
        if month is not None:
            return cls(check_month(month), None, account, currency, read_filters(where), known_at)
        if start is None or end is None or start >= end:
            shown = format_instant(start) if start else None
            raise InputError("from", shown, "give from and to, and from before to")
        return cls(None, Period(start, end), account, currency, read_filters(where), known_at)

    def accounts(self, connection: Connection) -> list[Account]:
        """The accounts in scope, all of one currency; two currencies are never summed.

        Raises DetachedError where calls in scope are detached: a sum without them would be a wrong one.
        """
        found = self._accounts(connection)
        self._refuse_detached(connection, found)
        return found

    def _accounts(self, connection: Connection) -> list[Account]:
        if self.account is not None:
            found = [accounts.get(connection, self.account, self.known_at)]
        else:
            listed = accounts.listed(connection)
            found = [one for one in listed if self.known_at is None or one.created_at <= self.known_at]
        if self.currency is not None:
            return [account for account in found if account.currency == self.currency]
        currencies = sorted({account.currency for account in found})
        if len(currencies) > 1:
            remedy = f"there are accounts in {' and '.join(currencies)}, which are never summed; choose one"
            raise InputError("currency", None, remedy)
        return found

    def _refuse_detached(self, connection: Connection, found: Sequence[Account]) -> None:
        if not detached.detached_months(connection):
            return
        names = [account.account for account in found]
        if self.month is not None:
            detached.refuse_billing_month(connection, names, self.month)
        for account in found:  # a month is the account's own
            detached.refuse_period(connection, [account.account], self.interval(account.timezone))

    def owners(self, column: Any, timezone: str | None = None) -> list[ColumnElement[bool]]:
        """The condition that a column names an account in scope, perhaps of one time zone only."""
        if self.account is not None and self.currency is None and timezone is None:
            return [column == self.account]
        where = [
            getattr(AccountRow, name) == value
            for name, value in (("account", self.account), ("currency", self.currency), ("timezone", timezone))
            if value is not None
        ]
        return [column.in_(select(AccountRow.account).where(*where))] if where else []

    def charges(self) -> list[ColumnElement[bool]]:
        """The condition that a charge, joined with its event, is in scope."""
        booked = by_then(ChargeRow.booked_at, self.known_at)
        conditions = [*self.owners(ChargeRow.account), *booked, *self._filters()]
        if self.month is not None:
            return [*conditions, ChargeRow.billing_month == self.month]
        assert self.period is not None
        return [*conditions, ChargeRow.completed_at >= self.period.start, ChargeRow.completed_at < self.period.end]

    def events(self, timezone: str) -> list[ColumnElement[bool]]:
        """The condition that an event of an account of a time zone, which has no charge, is in scope: by completion."""
        period = self.interval(timezone)
        filters = [condition for key, condition in zip(self.where, self._filters(), strict=True) if key != "band"]
        bounds = [EventRow.completed_at >= period.start, EventRow.completed_at < period.end]
        received = by_then(EventRow.received_at, self.known_at)
        return [*self.owners(EventRow.account, timezone), *bounds, *received, *filters]

    def quarantine(self) -> list[ColumnElement[bool]]:
        """The condition that an item of quarantine is in scope; what it would be filtered by is not known of it."""
        owner = QuarantineRow.account
        # What was refused may name an account that nothing accepted has made yet.
        unknown = owner.not_in(select(AccountRow.account).where(*by_then(AccountRow.created_at, self.known_at)))
        owners = self.owners(owner)
        if owners and self.account is None:
            owners = [or_(*owners, unknown)]
        if self.month is not None:
            return [*owners, QuarantineRow.billing_month == self.month]
        assert self.period is not None
        at = func.coalesce(QuarantineRow.completed_at, QuarantineRow.received_at)
        return [*owners, at >= self.period.start, at < self.period.end]

    def interval(self, timezone: str) -> Period:
        """The instants of the scope; a month is one of this time zone."""
        if self.month is not None:
            return month_period(self.month, timezone)
        assert self.period is not None
        return self.period

    def _filters(self) -> list[ColumnElement[bool]]:
        return [dimension(key) == value for key, value in self.where.items()]


def dimension(key: str) -> ColumnElement[str | None]:
    """The column of a dimension that charges are filtered or grouped by."""
    if key.startswith("tag:"):
        return _Tag(EventRow.tags, literal(key.removeprefix("tag:")))
    column: ColumnElement[str | None] = FILTERS[key]
    return column


def read_filters(where: Sequence[str]) -> dict[str, str]:
    """Filters written as key=value; InputError names one that is not."""
    found = {}
    for text in where:
        key, equals, value = text.partition("=")
        if not equals or (key not in FILTERS and not key.startswith("tag:")):
            raise InputError("where", text, f"write KEY=VALUE with a key of {', '.join(FILTERS)} or tag:NAME")
        found[key] = value
    return found
