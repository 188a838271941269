"""Release an account that was frozen: somebody answers for its ledger as it stands, and posting goes on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.core.periods import Period, format_instant
from costmeter.core.texts import check_said
from costmeter.services.check_budgets import rebuild_budgets
from costmeter.services.check_reserved import rebuild_reserved
from costmeter.store import accounts, audit, checkpoints, detached, freezes, projections
from costmeter.store.engine import in_transaction
from costmeter.store.freezes import RELEASED, Freeze


def release_account(engine: Engine, name: str, *, by: str, reason: str, now: datetime) -> Freeze:
    """Release a frozen account and keep who did it, when and why; InputError where it is not frozen.

    Its facts stay as they are, and what is kept beside them is rebuilt from them. From here on `verify` begins at this
    state: what broke before is told by a full run only, and freezes the account no more. DetachedError where calls of
    the account are detached: without them its balances cannot be rebuilt.
    """
    by, reason = check_said(by, "by"), check_said(reason, "reason")

    def release(connection: Connection) -> Freeze:
        account = accounts.lock(connection, accounts.get(connection, name).account)
        if account.frozen_at is None:
            raise InputError("account", name, "is not frozen; there is nothing to release")
        detached.refuse_period(connection, [account.account], Period(None, None))
        state = projections.rebuild(connection, account)
        rebuild_budgets(connection, account)
        rebuild_reserved(connection, account)
        made = Freeze(freezes.next_number(connection, account.account), RELEASED, now, by, reason)
        freezes.add(connection, account.account, made, state)
        checkpoints.save(connection, account.account, state, now)
        change = {"frozen_at": format_instant(account.frozen_at), "seq": account.version}
        audit.add(
            connection,
            "account.release",
            account.account,
            change,
            by=by,
            at=now,
            account=account.account,
            reason=reason,
        )
        return made

    return in_transaction(engine, release)
