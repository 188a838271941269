"""Whose call it is: account, project, user, API key by name, and tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from costmeter.core.errors import InputError
from costmeter.core.events import check_account
from costmeter.core.secrets import fingerprint, without_secrets
from costmeter.core.texts import TEXT_LENGTH


class Attribution(NamedTuple):
    """What is said of a call's origin; None is not said."""

    account: str | None = None
    project: str | None = None
    user: str | None = None
    api_key: str | None = None
    tags: Mapping[str, str] = MappingProxyType({})

    def over(self, below: Attribution) -> Attribution:
        """This attribution, and the other where this one says nothing; tags merge."""
        if self is NOBODY or below is NOBODY:
            return below if self is NOBODY else self
        return Attribution(
            below.account if self.account is None else self.account,
            below.project if self.project is None else self.project,
            below.user if self.user is None else self.user,
            below.api_key if self.api_key is None else self.api_key,
            {**below.tags, **self.tags} if self.tags else below.tags,
        )


NOBODY = Attribution()
_current: ContextVar[Attribution] = ContextVar("costmeter_attribution", default=NOBODY)


def attribution_of(
    *,
    account: object = None,
    project: object = None,
    user: object = None,
    api_key: object = None,
    tags: Mapping[str, object] | None = None,
) -> Attribution:
    """An attribution of any values, as the texts that can be stored: no secrets, cut to the length that is kept."""
    named = {text(name): text(value) for name, value in (tags or {}).items()}
    kept = {name: value for name, value in named.items() if name and value}
    return Attribution(text(account), text(project), text(user), text(api_key), kept)


def check_attribution(
    *,
    account: str | None = None,
    project: str | None = None,
    user: str | None = None,
    api_key: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Attribution:
    """The attribution of a door that is being set up; raises InputError where it could never be stored as meant."""
    if account is not None:
        check_account(account)
    if tags is not None and not isinstance(tags, Mapping):
        raise InputError("tags", tags, "pass a mapping of names to texts")
    return attribution_of(account=account, project=project, user=user, api_key=api_key, tags=tags)


@contextmanager
def attribute(
    *,
    user: object = None,
    project: object = None,
    api_key: object = None,
    account: object = None,
    tags: Mapping[str, object] | None = None,
) -> Iterator[None]:
    """Attributes the calls made inside, over what `wrap` said: in this thread or task and what it awaits.

    Nests: the inner one counts where both say something, and tags merge.
    """
    said = attribution_of(account=account, project=project, user=user, api_key=api_key, tags=tags)
    token = _current.set(said.over(_current.get()))
    try:
        yield
    finally:
        # An async generator may be closed from another context than the one it ran in; nothing was set there.
        with suppress(ValueError):
            _current.reset(token)


current_attribution = _current.get  # what the enclosing `attribute()` blocks say


@lru_cache(maxsize=64)  # a program has few keys, and hashing one costs as much as the rest of an attribution
def key_fingerprint(authorization: bytes | None, bare_key: bytes | None = None) -> str | None:
    """The fingerprint of the key in an Authorization header, or else of one that stands alone in its header."""
    words = (authorization or b"").split()
    key = words[1] if len(words) == 2 and words[0].lower() == b"bearer" else bare_key
    return fingerprint(key.decode("latin-1")) if key else None


def text(value: object) -> str | None:
    """Any value as a text that can be stored, without secrets; None where there is none."""
    if value is None:
        return None
    written = str(value)
    if not written.isprintable():  # half of a surrogate pair and NUL are not
        written = written.replace("\x00", "").encode("utf-8", "replace").decode()
    return without_secrets(written[:TEXT_LENGTH])[:TEXT_LENGTH] or None
