"""Which headers go on, to DeepSeek and back: all but those of one connection, and our own."""

from __future__ import annotations

from collections.abc import Iterable

from costmeter.recorder.headers import PREFIX

Pairs = Iterable[tuple[bytes, bytes]]
KeyHeader = tuple[str, str]  # a header with a key in it, as it goes to DeepSeek

# Of one connection and not of the request (RFC 9110, section 7.6.1); what was expected of this server (`Expect`) it has
# done.
_HOP = frozenset(
    (
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_NOT_SENT = _HOP | {b"host"}
_OF_KEYS = frozenset((b"authorization", b"x-api-key"))
_WITHOUT_BODY = frozenset((204, 304))
# What a value must not have (RFC 9110, section 5.5) is a space, as it says of the worst of it.
_CONTROLS = bytes(32 if (code < 32 and code != 9) or code == 127 else code for code in range(256))


def to_send(pairs: Pairs, *, key: KeyHeader | None = None, with_length: bool = True) -> list[tuple[str, str]]:
    """The headers of a request as they go to DeepSeek, names in lower case.

    With `key` in place of those with the caller's; without the length where the body is all here, and tells its own.
    """
    pairs = list(pairs)
    dropped = _NOT_SENT | _named_in_connection(pairs)
    if key is not None:
        dropped |= _OF_KEYS
    if not with_length:
        dropped |= {b"content-length"}
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in pairs
        if name not in dropped and not name.startswith(PREFIX)
    ]
    if key is not None:
        headers.append(key)
    return headers


def to_answer(pairs: Pairs, status: int = 200) -> list[tuple[bytes, bytes]]:
    """The headers of a response as they go back to the caller, in their order.

    Without the length where the status has no body: a server takes it for a promise.
    """
    lowered = [(name.lower(), value.translate(_CONTROLS)) for name, value in pairs]
    dropped = _HOP | _named_in_connection(lowered)
    if status in _WITHOUT_BODY:
        dropped |= {b"content-length"}
    return [(name, value) for name, value in lowered if name not in dropped and not name.startswith(PREFIX)]


def _named_in_connection(pairs: Pairs) -> frozenset[bytes]:
    """Headers that a Connection header says to be of that connection, too."""
    named = [value for name, value in pairs if name == b"connection"]
    if not named:
        return frozenset()
    return frozenset(word.strip().lower() for value in named for word in value.split(b","))
