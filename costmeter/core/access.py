"""Who may do what: roles, what a key is limited to, and how a key is written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import NamedTuple

from costmeter.core.errors import ForbiddenError, InputError

INGEST, CALL, READ, FINANCE, ADMIN = "ingest", "call", "read", "finance", "admin"
# What each role may do; `call` is the gateway alone, `read` sees all that finance sees, and changes nothing.
ROLES = {
    INGEST: frozenset((INGEST,)),
    CALL: frozenset((CALL,)),
    READ: frozenset((READ,)),
    FINANCE: frozenset((READ, FINANCE)),
    ADMIN: frozenset((INGEST, CALL, READ, FINANCE, ADMIN)),
}
_KEY = re.compile(r"cm_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)


class Grant(NamedTuple):
    """What somebody may do: by roles, in these accounts and projects (None: in all of them)."""

    who: str
    roles: tuple[str, ...]
    accounts: tuple[str, ...] | None = None
    projects: tuple[str, ...] | None = None

    def may(self, role: str) -> bool:
        return any(role in ROLES[own] for own in self.roles)

    def is_limited(self) -> bool:
        return self.accounts is not None or self.projects is not None

    def account(self, asked: str | None) -> str | None:
        """The account that is meant: the one asked for, or the only one there is; None is all of them.

        Raises ForbiddenError where the grant has it not, or has several and none is asked for.
        """
        return _meant("account", asked, self.accounts)

    def project(self, asked: str | None) -> str | None:
        """The project that is meant, as `account` has it."""
        return _meant("project", asked, self.projects)

    def whole_account(self, asked: str) -> str:
        """An account, of which the balance and the books are asked for: a grant of some projects does not see them."""
        if self.projects is not None:
            raise ForbiddenError(f"{self.who} sees projects {_named(self.projects)} only, not what a whole account has")
        return self.account(asked) or asked

    def whole_accounts(self, asked: str | None) -> list[str] | None:
        """The accounts that are meant, likewise: the one asked for, or all of the grant; None is all there are."""
        if asked is not None or self.projects is not None:
            return [self.whole_account(asked or "")]
        return None if self.accounts is None else list(self.accounts)


def _meant(kind: str, asked: str | None, granted: tuple[str, ...] | None) -> str | None:
    if granted is None or asked in granted:
        return asked
    if asked is not None:
        raise ForbiddenError(f"{kind} {asked!r} is not among those of this key: {_named(granted)}")
    if len(granted) == 1:
        return granted[0]
    raise ForbiddenError(f"this key has several {kind}s; name one of {_named(granted)}")


def _named(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def check_roles(roles: Collection[str]) -> tuple[str, ...]:
    """The roles in the order of the table; at least one of those there are."""
    for role in roles:
        if role not in ROLES:
            raise InputError("role", role, f"use one or more of {', '.join(ROLES)}")
    if not roles:
        raise InputError("role", None, f"is missing; use one or more of {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in roles)


def key_text(key_id: str, secret: str) -> str:
    """A key as its owner writes it."""
    return f"cm_{key_id}_{secret}"


def read_key(text: str) -> tuple[str, str] | None:
    """The id and the secret of a key; None where the text is none."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def secret_digest(secret: str) -> str:
    """What is stored of a secret of 256 random bits: nothing slower than SHA-256 would make it harder to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
