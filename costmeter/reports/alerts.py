"""Alerts in the words in which they are told, and what became of telling them."""

from __future__ import annotations

from typing import Any

from costmeter.core.errors import InputError
from costmeter.core.notice_kinds import KINDS
from costmeter.core.notices import DIGEST, RAISED, TEST, Message, Notice, compose
from costmeter.core.periods import format_instant
from costmeter.store.alerts import Alert
from costmeter.store.keys import key_text
from costmeter.store.notices import Listed

ALERTING = tuple(kind for kind in KINDS if kind not in (DIGEST, TEST))  # the kinds that an alert may be of


def check_kind(kind: str) -> str:
    """One of the kinds that an alert may be of."""
    if kind not in ALERTING:
        raise InputError("kind", kind, f"use one of {', '.join(ALERTING)}")
    return kind


def alert_shape(alert: Alert) -> dict[str, Any]:
    """An alert, with the words of its notice; its account is null where it is of the installation."""
    told = message_of(alert)
    return {
        "account": alert.account or None,
        "rule": alert.rule,
        "kind": alert.kind,
        "period": alert.period,
        "threshold": alert.threshold,
        "raised_at": format_instant(alert.raised_at),
        "recovered_at": format_instant(alert.recovered_at) if alert.recovered_at else None,
        "title": told.title,
        "text": told.text,
        "path": told.url,
        "facts": alert.facts,
    }


def message_of(alert: Alert) -> Message:
    """An alert in the words in which it was raised; its link is a path of this server."""
    notice = Notice(alert.account, "", alert.kind, RAISED, alert.rule, alert.facts, alert.raised_at)
    return compose(notice, KINDS, site="")


def delivery_shape(one: Listed) -> dict[str, Any]:
    """A notice's way through a channel, and how that stands."""
    delivery = one.delivery
    return {
        "notice_id": key_text(delivery.notice_id),
        "account": delivery.account or None,
        "kind": one.kind,
        "event": one.event,
        "title": one.title,
        "created_at": format_instant(one.created_at),
        "channel": delivery.channel,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "due_at": format_instant(delivery.due_at),
        "ended_at": format_instant(delivery.ended_at) if delivery.ended_at else None,
        "error": delivery.error,
    }
