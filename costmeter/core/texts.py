"""Texts and values that come in: which are kept as they are, and what is kept of the others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from costmeter.core.errors import InputError, shown
from costmeter.core.secrets import may_hold_secret, without_secrets

TEXT_LENGTH = 256
ITEMS_COUNT = 32  # of an object or a list that are kept
LARGEST = 2**63 - 1  # JSON in a database keeps 64 bits
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # a NUL or half a surrogate pair: no database keeps it


def check_said(text: str, field: str) -> str:
    """What somebody said of a decision, or who it was: 1 to 256 characters, cleaned of secrets."""
    if not 0 < len(text.strip()) <= TEXT_LENGTH or UNSTORABLE.search(text):
        raise InputError(field, text, f"write 1 to {TEXT_LENGTH} characters")
    return cleaned_text(text.strip())


def is_plain(text: str) -> bool:
    """Whether a text is kept as it is: nearly every one, told by tests that cost less than a search."""
    return len(text) <= TEXT_LENGTH and text.isascii() and text.isprintable() and not may_hold_secret(text)


def cleaned(value: object, depth: int = 3) -> Any:
    """A value without secrets and of bounded size; what is deeper or longer is cut."""
    if isinstance(value, str):
        return cleaned_text(value)
    if isinstance(value, Mapping) and depth:
        return {cleaned_text(str(k)): cleaned(v, depth - 1) for k, v in list(value.items())[:ITEMS_COUNT]}
    if isinstance(value, list | tuple) and depth:
        return [cleaned(v, depth - 1) for v in value[:ITEMS_COUNT]]
    is_storable = isinstance(value, int) and -LARGEST <= value <= LARGEST
    if value is None or is_storable or (isinstance(value, float) and math.isfinite(value)):
        return value
    return shown(value)


def cleaned_text(text: str) -> str:
    """A text without secrets, of bounded length, that every database keeps."""
    if is_plain(text):
        return text
    return UNSTORABLE.sub("", without_secrets(text))[:TEXT_LENGTH]
