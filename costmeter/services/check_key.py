"""Check an API key: what its holder may do, or nothing. Nothing is written, whoever knocks."""

from __future__ import annotations

import hmac
from datetime import datetime

from sqlalchemy import Connection

from costmeter.core.access import Grant, read_key, secret_digest
from costmeter.store import api_keys
from costmeter.store.api_keys import ApiKey

_NOBODY = "0" * 64  # no digest: compared with where there is no such key, so that this takes as long


def check_key(connection: Connection, text: str, now: datetime) -> Grant | None:
    """The grant of an active key; None for any other text."""
    key = find_key(connection, text, now)
    return key.grant() if key else None


def find_key(connection: Connection, text: str, now: datetime) -> ApiKey | None:
    """The active key that a text is; None for any other text. Digests are compared in constant time."""
    read = read_key(text)
    if read is None:
        return None
    key = api_keys.get(connection, read[0])
    same = hmac.compare_digest(key.digest if key else _NOBODY, secret_digest(read[1]))
    return key if key and same and key.is_active(now) else None
