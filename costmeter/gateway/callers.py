"""Who calls: whose the call is, how fast its caller may call, and which of DeepSeek's keys it is made with."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

from msgspec import Raw
from sqlalchemy import Engine

from costmeter.core.access import ADMIN, CALL, read_key
from costmeter.core.errors import ForbiddenError
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.rate_limits import NO_LIMITS, Limits
from costmeter.gateway.headers import KeyHeader
from costmeter.gateway.key_holders import Holder, KeyHolders
from costmeter.gateway.known_keys import KnownKeys
from costmeter.gateway.refusals import RefusedCallError
from costmeter.gateway.requests import Request
from costmeter.gateway.targets import is_anthropic, route_of
from costmeter.gateway.vendor_keys import VendorKeys, read_vendor_keys
from costmeter.recorder.attribution import NOBODY, Attribution, key_fingerprint
from costmeter.recorder.draft import write_attribution
from costmeter.recorder.headers import NAMES, read_attribution
from costmeter.settings import Settings

Value = bytes | None  # of a header

_ACCOUNT, _PROJECT = NAMES[:2]
_FREE = frozenset(("models", "count_tokens"))  # routes that cost nothing and tell nothing of the vendor's account


class Caller(NamedTuple):
    """Whose a call is, as it is known and as it is written down.

    `key` is the header with the one of DeepSeek's that it is made with; None where the caller's own goes on. Callers of
    one name in `limited_as` share their limits.
    """

    said: Attribution
    written: Raw
    key: KeyHeader | None = None
    limits: Limits = NO_LIMITS
    limited_as: str | None = None


class Callers(Protocol):
    """Those who may call."""

    async def of(self, request: Request) -> Caller:
        """The caller of a request; RefusedCallError where it may not be made."""

    def close(self) -> None:
        """Ends what they are known by."""


class OwnKeys:
    """Callers with keys of DeepSeek's, which are passed on and known by their fingerprints."""

    def __init__(self, below: Attribution = NOBODY, limits: Limits = NO_LIMITS) -> None:
        self._below = below  # what is said of all of them
        self._limits = limits  # of each of them
        self._caller = lru_cache(maxsize=1024)(self._read)  # what callers say of themselves repeats

    async def of(self, request: Request) -> Caller:
        """The caller of a request; refused where the key is one of costmeter's, which DeepSeek is not to see."""
        headers = request.headers
        return self._caller(*(headers.get(name) for name in (b"authorization", b"x-api-key", *NAMES)))

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, authorization: Value, bare: Value, *own: Value) -> Caller:
        for sent in (authorization, bare):
            if sent is not None and b"cm_" in sent:
                remedy = "set COSTMETER_GATEWAY_VENDOR_KEY, or send a key of DeepSeek's"
                raise RefusedCallError(401, "no_vendor_key", f"the gateway has no key of DeepSeek's to use: {remedy}")
        said, fingerprint = _said_in(own).over(self._below), key_fingerprint(authorization, bare)
        if said.api_key is None:
            said = said._replace(api_key=fingerprint)
        return Caller(said, write_attribution(said), None, self._limits, fingerprint)


class CostmeterKeys:
    """Callers with keys of costmeter's; their calls are made with the keys of DeepSeek's that the gateway has."""

    def __init__(self, keys: KnownKeys, vendor: VendorKeys, limits: Limits = NO_LIMITS) -> None:
        self._keys, self._vendor = keys, vendor
        self._limits = limits  # of a key that has none of its own
        self._caller = lru_cache(maxsize=1024)(self._read)

    async def of(self, request: Request) -> Caller:
        """The caller of a request, within what its key may do."""
        headers = request.headers
        key, is_bare = _key_in(headers.get(b"authorization"), headers.get(b"x-api-key"))
        holder = await self._keys.holder(key)
        if not (request.is_call or route_of(request.path) in _FREE or holder.grant.may(ADMIN)):
            said = "only calls, lists of models and counts of tokens are made with the vendor's key"
            raise RefusedCallError(403, "forbidden", f"{holder.grant.who} may not ask for this: {said}")
        is_bare = is_bare and is_anthropic(request.path)  # elsewhere DeepSeek does not look there
        return self._caller(holder, is_bare, *(headers.get(name) for name in NAMES))

    def close(self) -> None:
        """Ends the threads that ask for keys."""
        self._keys.close()

    def _read(self, holder: Holder, is_bare: bool, *own: Value) -> Caller:
        grant, said = holder.grant, _said_in(own)
        if not grant.may(CALL):
            has = f"{grant.who} has {', '.join(grant.roles)}; calling DeepSeek needs {CALL}"
            raise RefusedCallError(403, "forbidden", has)
        for name, value, read in ((_ACCOUNT, own[0], said.account), (_PROJECT, own[1], said.project)):
            if value and read is None:  # what it was to limit or to be billed to is not guessed
                raise RefusedCallError(400, "bad_header", f"{name.decode()} cannot be used; see docs/gateway-keys.md")
        try:
            account = grant.account(said.account) or DEFAULT_ACCOUNT
            project = grant.project(said.project)
        except ForbiddenError as error:
            raise RefusedCallError(403, "forbidden", str(error)) from None
        said = said._replace(account=account, project=project, api_key=holder.name)
        key = self._vendor.of(account)
        if key is None:
            remedy = "give it one in the file of COSTMETER_GATEWAY_VENDOR_KEYS, or name another account"
            raise RefusedCallError(403, "no_vendor_key", f"account {account!r} has no key of DeepSeek's: {remedy}")
        header = ("x-api-key", key) if is_bare else ("authorization", f"Bearer {key}")
        return Caller(said, write_attribution(said), header, holder.limits.over(self._limits), grant.who)


def open_callers(said: Settings, open_engine: Callable[[], Engine]) -> Callers:
    """Those who may call by the settings: with keys of DeepSeek's, or of costmeter's where there is a vendor key."""
    vendor = read_vendor_keys(said)
    limits = Limits(said.gateway_calls_per_minute, said.gateway_calls_at_once)
    if vendor is None:
        return OwnKeys(limits=limits)
    known = KnownKeys(KeyHolders(open_engine), stays_open=said.gateway_database_away == "open")
    return CostmeterKeys(known, vendor, limits)


def _said_in(own: tuple[Value, ...]) -> Attribution:
    return read_attribution({name: value for name, value in zip(NAMES, own, strict=True) if value})


def _key_in(authorization: Value, bare: Value) -> tuple[str, bool]:
    """The key that a request is made with, and whether it stands alone in its header.

    An SDK may send something else in the other header: what is written as a key of costmeter's counts.
    """
    scheme, _, sent = (authorization or b"").decode("latin-1").partition(" ")
    key = sent.strip() if scheme.lower() == "bearer" else ""
    if bare is not None and read_key(key) is None:
        return bare.decode("latin-1"), True
    return key, False
