"""What is kept beside the facts for speed, worked out again from the facts as they stand."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, literal, or_, select

from costmeter.core.errors import FrozenError
from costmeter.store import accounts, corrections, credits, rollups
from costmeter.store.accounts import Account
from costmeter.store.bulk import Batch
from costmeter.store.checkpoints import Checkpoint
from costmeter.store.credits import CreditBalance
from costmeter.store.events import of_one_event
from costmeter.store.tables import (
    ChargeRow,
    CreditBalanceRow,
    CreditRow,
    DeductionRow,
    EntryRow,
    EventRow,
    ExpiryRow,
    PendingRow,
    RepaymentRow,
)
from costmeter.store.types import join_halves, sum_halves


def rebuild(connection: Connection, account: Account) -> Checkpoint:
    """Rebuild an account's balances, overdraft, sequence, chain, waiting calls and rollups; returns what they are now.

    The account must be locked. Raises FrozenError where by its facts a credit gave more than it had.
    """
    name = account.account
    balances = _balances(connection, name)
    owed = _sum(connection, name, ChargeRow.overdraft) + corrections.owed(connection, name)
    overdraft = owed - _sum(connection, name, RepaymentRow.amount)
    newest = select(EntryRow.chain).where(EntryRow.account == name).order_by(EntryRow.seq.desc()).limit(1)
    chain = connection.scalar(newest) or accounts.NO_CHAIN
    seq = max(account.version, *_newest_facts(connection, name))
    connection.execute(delete(CreditBalanceRow).where(CreditBalanceRow.account == name))
    rows = [{"account": name, "credit_id": key, **balance._asdict()} for key, balance in balances.items()]
    batch = Batch(connection)
    batch.add(CreditBalanceRow, rows)
    accounts.save(batch, account._replace(version=seq, overdraft=overdraft, chain=chain, rolled_up=seq))
    batch.write()
    _rebuild_pending(connection, name)
    rollups.rebuild(connection, name, account.timezone)
    remaining = {key: balance.remaining for key, balance in balances.items()}
    expired = {key: balance.expired for key, balance in balances.items()}
    by_key = select(EventRow.event_key).where(EventRow.account == name).order_by(EventRow.event_key.desc()).limit(1)
    newest_event = connection.scalar(by_key) or b""
    return Checkpoint(seq, chain, overdraft, remaining, expired, newest_event, newest_event)


def _balances(connection: Connection, name: str) -> dict[int, CreditBalance]:
    gave = _by_credit(connection, name, DeductionRow)
    repaid, expired = _by_credit(connection, name, RepaymentRow), _by_credit(connection, name, ExpiryRow)
    balances = {}
    for booked in credits.of_account(connection, name):
        key, amount = booked.credit.credit_id, 0 if booked.void else booked.credit.amount
        balance = CreditBalance(amount - gave.get(key, 0) - repaid.get(key, 0), expired.get(key, 0))
        if not 0 <= balance.expired <= balance.remaining:
            raise FrozenError(f"credit {key} of account {name!r} gave more than it had: {balance}; restore a backup")
        balances[key] = balance
    return balances


def _by_credit(connection: Connection, name: str, table: Any) -> dict[int, int]:
    query = select(table.credit_id, *sum_halves(table.amount)).where(table.account == name).group_by(table.credit_id)
    return {key: join_halves(high, low) for key, high, low in connection.execute(query)}


def _sum(connection: Connection, name: str, column: Any) -> int:
    query = select(*sum_halves(column)).where(column.class_.account == name)
    return join_halves(*connection.execute(query).one())


def _newest_facts(connection: Connection, name: str) -> list[int]:
    numbers: list[Any] = [ChargeRow.seq, RepaymentRow.seq, ExpiryRow.seq, CreditRow.credit_id, EntryRow.seq]
    return [connection.scalar(select(func.max(number)).where(number.class_.account == name)) or 0 for number in numbers]


def _rebuild_pending(connection: Connection, name: str) -> None:
    """A measured call waits while it has no charge; nothing else does."""
    measured = EventRow.cache_hit_tokens.is_not(None)
    charged = select(literal(1)).select_from(ChargeRow)
    is_measured = select(literal(1)).select_from(EventRow).where(of_one_event(EventRow, PendingRow), measured)
    wrong = or_(charged.where(of_one_event(ChargeRow, PendingRow)).exists(), ~is_measured.exists())
    connection.execute(delete(PendingRow).where(PendingRow.account == name, wrong))
    waits = select(literal(1)).select_from(PendingRow).where(of_one_event(PendingRow, EventRow)).exists()
    missing = and_(measured, ~charged.where(of_one_event(ChargeRow, EventRow)).exists(), ~waits)
    columns = (EventRow.account, EventRow.event_key, EventRow.completed_at)
    query = select(*columns).where(EventRow.account == name, missing)
    connection.execute(insert(PendingRow).from_select(["account", "event_key", "completed_at"], query))
