"""Who calls: whose the call is, and which of DeepSeek's keys it is made with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from msgspec import Raw

from costmeter.gateway.refusals import RefusedCallError
from costmeter.recorder.attribution import NOBODY, Attribution, key_fingerprint
from costmeter.recorder.draft import write_attribution
from costmeter.recorder.headers import NAMES, read_attribution


class Caller(NamedTuple):
    """Whose a call is, as it is known and as it is written down.

    `key` is the one of DeepSeek's that it is made with; None where the caller's own goes on.
    """

    said: Attribution
    written: Raw
    key: str | None = None


class OwnKeys:
    """Callers with keys of DeepSeek's, which are passed on and known by their fingerprints."""

    def __init__(self, below: Attribution = NOBODY) -> None:
        self._below = below  # what is said of all of them
        self._caller = lru_cache(maxsize=1024)(self._read)  # what callers say of themselves repeats

    async def of(self, headers: Mapping[bytes, bytes]) -> Caller:
        """The caller of a request; refused where the key is one of costmeter's, which DeepSeek is not to see."""
        return self._caller(*(headers.get(name) for name in (b"authorization", b"x-api-key", *NAMES)))

    def _read(self, authorization: bytes | None, bare: bytes | None, *own: bytes | None) -> Caller:
        for sent in (authorization, bare):
            if sent is not None and b"cm_" in sent:
                remedy = "set COSTMETER_GATEWAY_VENDOR_KEY, or send a key of DeepSeek's"
                raise RefusedCallError(401, "no_vendor_key", f"the gateway has no key of DeepSeek's to use: {remedy}")
        said = read_attribution({name: value for name, value in zip(NAMES, own, strict=True) if value})
        said = said.over(self._below)
        if said.api_key is None:
            said = said._replace(api_key=key_fingerprint(authorization, bare))
        return Caller(said, write_attribution(said))
