"""Add an account: before its first call or credit, to choose its currency and billing time zone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.errors import ConflictError
from costmeter.core.events import check_account
from costmeter.core.money import check_currency
from costmeter.core.periods import zone
from costmeter.core.texts import check_said
from costmeter.store import accounts, audit
from costmeter.store.accounts import Account, Home
from costmeter.store.engine import in_transaction


def add_account(
    engine: Engine, name: str, *, currency: str | None, timezone: str | None, by: str, home: Home, now: datetime
) -> tuple[Account, bool]:
    """The account, and whether it was made now; what is None is taken from `home`.

    Currency and time zone can be changed until the first posted entry fixes them; then it is a ConflictError.
    """
    name, by = check_account(name), check_said(by, "by")
    wanted = Home(check_currency(currency or home.currency), timezone or home.timezone)
    zone(wanted.timezone)

    def add(connection: Connection) -> tuple[Account, bool]:
        made = bool(accounts.make_missing(connection, [name], wanted, now))
        account = accounts.lock(connection, name)
        kept = Home(
            wanted.currency if currency is not None else account.currency,
            wanted.timezone if timezone is not None else account.timezone,
        )
        if kept != Home(account.currency, account.timezone):
            if account.version:
                remedy = f"is kept in {account.currency} and {account.timezone} since its first entry; add another"
                raise ConflictError("account", name, remedy)
            accounts.settle(connection, name, kept)
        if made or kept != Home(account.currency, account.timezone):
            action = "account.add" if made else "account.change"
            audit.add(connection, action, name, kept._asdict(), by=by, at=now, account=name)
        return accounts.get(connection, name), made

    return in_transaction(engine, add)
