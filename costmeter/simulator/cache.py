"""The prefix cache: which beginnings of prompts were seen before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from costmeter.simulator.tokens import CACHE_UNIT, cache_unit_ends


class PrefixCache:
    """Remembers prompts in whole units of 64 tokens from token 0, each API key for itself.

    Unlike the vendor's, it always hits and never forgets: a test needs to know what to expect.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, bytes]] = set()

    def read(self, api_key: str, prompt: str) -> int:
        """The tokens of the prompt that are a hit; the whole prompt is remembered for the next call."""
        units = [(api_key, digest) for digest in _digests(prompt)]
        hits = next((index for index, unit in enumerate(units) if unit not in self._seen), len(units))
        self._seen.update(units)
        return hits * CACHE_UNIT


def _digests(prompt: str) -> Iterator[bytes]:
    """One digest for each unit, of everything from the start of the prompt to the end of that unit."""
    running, start = hashlib.sha256(), 0
    for end in cache_unit_ends(prompt):
        running.update(prompt[start:end].encode("utf-8", "surrogatepass"))
        yield running.digest()
        start = end
