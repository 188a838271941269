"""Time-ordered keys of our own: UUIDv7 as 16 bytes, so that rows are appended to their index and not scattered."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from contextlib import suppress
from datetime import datetime

from costmeter.core.periods import to_micros

_COUNTER_BITS = 42  # random tail of a key below its millisecond and 32 bits of order within it
_lock = threading.Lock()
_last = 0


def _random_start() -> itertools.count[int]:
    """Consecutive numbers of 74 bits from a random one on: what tells two processes' ids of one millisecond apart."""
    return itertools.count(int.from_bytes(os.urandom(9)))


_numbers = _random_start()


def _start_afresh() -> None:
    """A child must not wait for a lock that a thread of its parent held at the fork, nor make its parent's ids."""
    global _lock, _numbers
    _lock = threading.Lock()
    _numbers = _random_start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)


def new_key() -> bytes:
    """A new UUIDv7 (RFC 9562), greater than every key that this process made before."""
    return new_keys(1)[0]


def new_keys(count: int) -> list[bytes]:
    """So many new keys, each greater than the one before."""
    global _last
    milliseconds = time.time_ns() // 1_000_000
    with _lock:
        first = max(_last + 1, milliseconds << 32)
        _last = first + count - 1
    tails = os.urandom(6 * count)
    keys = []
    for number in range(count):
        order, tail = first + number, int.from_bytes(tails[6 * number : 6 * number + 6])
        # 48 bits time, 4 bits version, 12 bits and 20 bits of order, 2 bits variant, 42 bits random.
        high = (order >> 32 << 16) | (0x7 << 12) | (order >> 20 & 0xFFF)
        low = (0b10 << 62) | ((order & 0xFFFFF) << _COUNTER_BITS) | tail >> 6
        keys.append((high << 64 | low).to_bytes(16))
    return keys


def key_before(instant: datetime) -> bytes:
    """A key that is smaller than all that are made from an instant's millisecond on, and greater than all before."""
    return (to_micros(instant) // 1_000 << 80).to_bytes(16)


def new_id() -> str:
    """A new UUIDv7 as text, for the caller's thread: no lock, no system call. In the order of milliseconds only."""
    number, milliseconds = next(_numbers), time.time_ns() // 1_000_000
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - two thirds of the time of an f-string
        milliseconds >> 16,
        milliseconds & 0xFFFF,
        number & 0xFFF,
        0x8000 | number >> 60 & 0x3FFF,
        number >> 12 & 0xFFFFFFFFFFFF,
    )


def key_text(key: bytes) -> str:
    """The key as people and JSON write it."""
    digits = key.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def identity_key(kind: str, text: str) -> bytes:
    """16 bytes that stand for an id for ever: a UUID by its own bytes (time-ordered ones stay so), else a hash.

    Event ids are UUIDs or any text; response ids always go through the hash, since both share one table. Only the
    usual spelling of a UUID is taken for one: other spellings are other ids.
    """
    if kind == "event" and len(text) == 36 and text[8:24:5] == "----" and text.lower() == text:
        with suppress(ValueError):
            key = bytes.fromhex(text.replace("-", ""))
            if len(key) == 16:  # no other dashes, and no blanks, which are passed over
                return key
    return _hashed(kind, text)


def _hashed(kind: str, text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16, person=kind.encode()[:16]).digest()
