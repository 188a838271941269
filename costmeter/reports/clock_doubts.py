"""How much money the clock leaves in doubt: only calls that were marked are priced again, by the book of their time."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from costmeter.core.doubts import NEAR, clock_doubt
from costmeter.core.pricing import price_event
from costmeter.prices.read import read_edition
from costmeter.store import editions
from costmeter.store.accounts import Account
from costmeter.store.events import of_one_event, stored_event
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow, EventRow


def movable_amount(connection: Connection, scope: Scope, in_scope: Sequence[Account]) -> int:
    """The money, in units of 10^-12, that the marked calls in scope could move over the edges that they are near.

    For each call that is the difference to what it would have cost on the other side, or its whole amount where it
    could belong to another month: the larger, once. A reversal takes back what its charge added.
    """
    zones = {account.account: account.timezone for account in in_scope}
    query = (
        select(*EventRow.__table__.columns)
        .add_columns(ChargeRow.sign, ChargeRow.edition, ChargeRow.currency)
        .join(ChargeRow, of_one_event(EventRow, ChargeRow))
        .where(*scope.charges(), ChargeRow.flags.contains(NEAR, autoescape=True))
    )
    marked = connection.execute(query).all()
    books = {
        edition: read_edition(editions.text_of(connection, edition)) for edition in {row.edition for row in marked}
    }
    amount = 0
    for row in marked:
        event, book = stored_event(row).event, books[row.edition]
        priced = price_event(book, event, row.currency)
        amount += row.sign * clock_doubt(book, event, priced, row.currency, zones[event.account]).amount
    return amount
