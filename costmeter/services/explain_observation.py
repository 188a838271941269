"""Explain an observation: somebody says why a difference to DeepSeek's balance stands, and answers for it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.errors import ConflictError
from costmeter.core.money import format_amount
from costmeter.core.secrets import without_secrets
from costmeter.core.texts import check_said
from costmeter.store import accounts, audit, observations
from costmeter.store.engine import in_transaction
from costmeter.store.observations import EXPLAINED, OPEN, Observation


def explain_observation(
    engine: Engine, account: str, number: int, *, by: str, reason: str, now: datetime
) -> Observation:
    """The observation, explained from now on, as later ones are while the same difference stands. No money moves.

    One that agreed, or was explained before, is a ConflictError; NotFoundError where there is none of that number.
    """
    account, by, reason = without_secrets(account), check_said(by, "by"), check_said(reason, "reason")

    def decide(connection: Connection) -> Observation:
        accounts.lock(connection, accounts.get(connection, account).account)
        seen = observations.get(connection, account, number)
        if seen.status != OPEN or not observations.decide(connection, seen, at=now, by=by, reason=reason):
            said = f"{seen.status} by {seen.decided_by}: {seen.reason}" if seen.decided_by else seen.status
            raise ConflictError("observation", number, f"is {said}; only an open difference is explained")
        change = {"difference": format_amount(seen.difference.total), "currency": seen.currency}
        audit.add(connection, "reconcile.explain", str(number), change, by=by, at=now, account=account, reason=reason)
        return seen._replace(status=EXPLAINED, decided_at=now, decided_by=by, reason=reason)

    return in_transaction(engine, decide)
