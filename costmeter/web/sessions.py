"""Sessions: a cookie that says by which key somebody signed in, sealed by what the server keeps of that key.

There is no table of sessions. Who revokes the key, or lets it expire, ends every session of it at the next request. The
cookie is no key: nothing but the pages takes it, and the key cannot be told from it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from costmeter.core.access import Grant
from costmeter.store import api_keys
from costmeter.store.api_keys import ApiKey

LASTS = timedelta(hours=12)  # at most; a key that expires earlier ends it earlier
_TOKEN = re.compile(r"([0-9a-f]{16})\.([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII)


class Session(NamedTuple):
    """Who signed in, by which key, until when, and what each form of theirs has to bring back."""

    grant: Grant
    key_id: str
    expires_at: datetime
    form_token: str


class Opened(NamedTuple):
    """A new session's cookie, and the seconds that it lasts."""

    token: str
    seconds: int


def open_session(connection: Connection, key_id: str, now: datetime) -> Opened:
    """A session of a key that was checked just now; each has a nonce of its own, so that none is known beforehand."""
    key = api_keys.get(connection, key_id)
    assert key is not None
    ends = min(now + LASTS, key.expires_at or now + LASTS)
    said = f"{key_id}.{int(ends.timestamp())}.{secrets.token_hex(16)}"
    return Opened(f"{said}.{_seal(key, 'session', said)}", max(0, int((ends - now).total_seconds())))


def check_session(connection: Connection, token: str, now: datetime) -> Session | None:
    """The session of a cookie, while its key is active; else None. Seals are compared in constant time."""
    read = _TOKEN.fullmatch(token)
    if read is None:
        return None
    key_id, ends, nonce, seal = read.groups()
    key = api_keys.get(connection, key_id)
    if key is None or not key.is_active(now) or int(ends) <= now.timestamp():
        return None
    said = f"{key_id}.{ends}.{nonce}"
    if not hmac.compare_digest(seal, _seal(key, "session", said)):
        return None
    return Session(key.grant(), key_id, datetime.fromtimestamp(int(ends), UTC), _seal(key, "form", said))


def _seal(key: ApiKey, purpose: str, said: str) -> str:
    return hmac.new(bytes.fromhex(key.digest), f"costmeter {purpose} {said}".encode(), hashlib.sha256).hexdigest()
