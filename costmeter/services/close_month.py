"""Close a month of an account: from then on it never changes; what comes later is an adjustment of a later month.

The month's calls are folded again in canonical order, and the differences are posted in it. Then its statement and a
manifest are kept, which names what it is made of and the month before by their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, func, select

from costmeter.core.errors import NotClosableError
from costmeter.core.events import digest
from costmeter.core.periods import check_month, format_instant, month_period
from costmeter.core.statements import Statement
from costmeter.core.texts import check_said
from costmeter.services.fold import open_folds, write_folds
from costmeter.services.fold_again import fold_again
from costmeter.store import accounts, audit, closings, detached
from costmeter.store.accounts import Account
from costmeter.store.blockers import blockers
from costmeter.store.bulk import Batch
from costmeter.store.closings import Closing
from costmeter.store.engine import in_transaction
from costmeter.store.journal import Entry
from costmeter.store.statements import read_statement
from costmeter.store.tables import ChargeRow, EntryRow

FORMAT = 1  # of the manifest


class Decision(NamedTuple):
    """Who closes, and, where something stands against it, why it is done all the same and what that is."""

    by: str
    reason: str | None
    overridden: Sequence[str] = ()


def close_month(
    engine: Engine,
    name: str,
    month: str,
    *,
    by: str,
    reason: str | None = None,
    grace: timedelta,
    now: datetime,
) -> tuple[Closing, bool]:
    """The closing, and whether it was made now (False: the month was closed before).

    NotClosableError names all that stands against it: that the month or its grace period is not over, that an earlier
    one is open, calls that are unpriced, provisional, in quarantine or unposted. With a reason what is not final
    among these is overridden, and kept with the reason. FrozenError and DetachedError as in posting.
    """
    check_month(month)
    decision = Decision(check_said(by, "by"), None if reason is None else check_said(reason, "reason"))

    def close(connection: Connection) -> tuple[Closing, bool]:
        account = accounts.lock(connection, accounts.get(connection, name).account)
        before = closings.get(connection, account.account, month)
        if before is not None:
            return before, False
        found = blockers(connection, account, month, grace=grace, now=now)
        if any(one.is_final for one in found) or (found and decision.reason is None):
            raise NotClosableError(account.account, month, [one.text for one in found])
        reason = decision.reason if found else None
        made = decision._replace(reason=reason, overridden=[one.text for one in found])
        return _close(connection, account, month, made, now), True

    return in_transaction(engine, close)


def _close(connection: Connection, account: Account, month: str, decision: Decision, now: datetime) -> Closing:
    _fold_in_canonical_order(connection, account, month, decision, now)
    folded = accounts.get(connection, account.account)
    statement = read_statement(connection, folded, month, now, is_closing=True)
    closing = _sealed(connection, folded, statement, decision, account.version + 1)
    closings.add(connection, account.account, closing)
    change = {"sha256": closing.sha256, "last_seq": closing.last_seq, "blockers": closing.blockers}
    by, reason, _ = decision
    audit.add(connection, "month.close", month, change, by=by, reason=reason, at=now, account=account.account)
    return closing


def _fold_in_canonical_order(
    connection: Connection, account: Account, month: str, decision: Decision, now: datetime
) -> None:
    period = month_period(month, account.timezone)
    assert period.start is not None
    detached.refuse_change(connection, [account.account], period._replace(end=None))
    batch = Batch(connection)
    (fold,) = open_folds(batch, [account], now)
    seq = account.version + 1
    fold.entries.append(
        Entry("close", seq, seq, month, now, seal_closing(seq, month, decision.by, decision.reason), {})
    )
    fold_again(fold, period.start)
    fold.repay()
    fold.expire()
    write_folds(batch, [fold], now)


def seal_closing(seq: int, month: str, by: str, reason: str | None) -> bytes:
    """What a journal entry's digest says of a closing."""
    return digest([seq, month, by, reason])


def _sealed(connection: Connection, account: Account, statement: Statement, decision: Decision, seq: int) -> Closing:
    """The closing with its texts: the statement, and the manifest that names it; `account` as it stands after it."""
    shape = {**statement.as_dict(), "state": "closed"}
    text, month = canonical(shape), statement.month
    previous = closings.newest(connection, account.account)
    previous_sha256 = previous.sha256 if previous else None
    manifest = canonical(
        {
            "format": FORMAT,
            "account": account.account,
            "month": month,
            "currency": account.currency,
            "timezone": account.timezone,
            "closed_at": format_instant(statement.as_of),
            **decision._asdict(),
            "first_seq": first_seq(connection, account.account, month),
            "last_seq": account.version,
            "chain": account.chain.hex(),
            **{name: shape[name] for name in ("opening", "closing_balance", "deductions", "counts")},
            "editions": editions_of(connection, account.account, month),
            "statement_format": shape["format"],
            "statement_sha256": sha256(text),
            "previous_sha256": previous_sha256,
        }
    )
    return Closing(
        month,
        seq,
        last_seq=account.version,
        closed_at=statement.as_of,
        by_whom=decision.by,
        reason=decision.reason,
        blockers=list(decision.overridden),
        statement=text,
        manifest=manifest,
        sha256=sha256(manifest),
        previous=previous_sha256,
    )


def canonical(value: Any) -> str:
    """JSON in one way only: keys in order, no spaces, characters as they are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def first_seq(connection: Connection, account: str, month: str) -> int | None:
    """The number of the first fact that was booked in a billing month."""
    mine = (EntryRow.account == account, EntryRow.billing_month == month)
    return connection.scalar(select(func.min(EntryRow.first_seq)).where(*mine))


def editions_of(connection: Connection, account: str, month: str) -> list[str]:
    """The price editions that a billing month's charges name."""
    mine = (ChargeRow.account == account, ChargeRow.billing_month == month)
    return sorted(connection.scalars(select(ChargeRow.edition).where(*mine).distinct()))
