"""Keeping keys out: a fingerprint stands for a key, and what looks like a key is never stored."""

from __future__ import annotations

import hashlib
import re

# DeepSeek's keys are sk-..., our own cm_..., and a bearer token may be any long run of key characters.
_SECRET = re.compile(
    r"(?:\bBearer\s+)?(?<![A-Za-z0-9])(?:sk-[\w-]{8,}|cm_[A-Za-z0-9]+_[\w-]{16,})|\bBearer\s+[\w.~+/=-]{20,}",
    re.ASCII,
)


def fingerprint(key: str) -> str:
    """A short, stable stand-in for a key, from which the key cannot be told."""
    return f"fp_{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def may_hold_secret(text: str) -> bool:
    """Whether a text has anything that a key begins with; a search for plain text costs a tenth of the expression."""
    return "sk-" in text or "cm_" in text or "Bearer" in text


def without_secrets(text: str) -> str:
    """The text with everything that looks like a key replaced by its fingerprint."""
    if not may_hold_secret(text):
        return text  # nearly every one
    return _SECRET.sub(lambda match: fingerprint(match.group(0).removeprefix("Bearer").strip()), text)
