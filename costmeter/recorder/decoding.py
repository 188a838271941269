"""Content encodings undone piece by piece, as HTTP clients do, in bounded memory."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

PIECE = 1 << 20  # bytes decoded at a time, so that a small body cannot inflate without bound
MAX_LINKS = 5  # encodings on top of each other; HTTP clients refuse more


class UnreadableEncodingError(Exception):
    """A content encoding for which nothing is installed."""


class Decoder(Protocol):
    """Undoes one encoding."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What these bytes amount to, in pieces of at most PIECE bytes."""


def open_decoders(content_encoding: str | None) -> list[Decoder]:
    """The decoders that undo a Content-Encoding header, the last encoding first; none where the bytes are plain."""
    if not content_encoding:
        return []
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if len(names) > MAX_LINKS:
        raise UnreadableEncodingError(f"unreadable encoding: {len(names)} encodings")
    return [_open(name) for name in reversed(names)]


def decode(decoders: list[Decoder], data: bytes) -> Iterator[bytes]:
    """The bytes with every encoding undone."""
    pieces: Iterator[bytes] = iter((data,))
    for decoder in decoders:
        pieces = _through(decoder, pieces)
    return pieces


def _through(decoder: Decoder, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from decoder.decode(piece)


def _open(name: str) -> Decoder:
    opener = _OPENERS.get(name)
    try:
        if opener is not None:
            return opener()
    except ImportError:
        pass
    raise UnreadableEncodingError(f"unreadable encoding: {name[:40]}")


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._inflate.eof:
            return  # what follows the end is not shown to the caller either
        piece = self._inflate.decompress(data, PIECE)
        while piece:
            yield piece
            piece = self._inflate.decompress(self._inflate.unconsumed_tail, PIECE)


class _Deflate:
    """With or without the zlib header: servers send both, and two bytes tell them apart (RFC 1950, section 2.2)."""

    def __init__(self) -> None:
        self._start = b""
        self._inner: _Zlib | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data = self._start = self._start + data
            if len(data) < 2:
                return
            has_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            self._inner = _Zlib(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        yield from self._inner.decode(data)


class _Brotli:
    def __init__(self) -> None:
        try:
            package = importlib.import_module("brotli")
        except ImportError:
            package = importlib.import_module("brotlicffi")
        decompressor: Any = package.Decompressor()
        self._process: Callable[..., bytes] = getattr(decompressor, "decompress", None) or decompressor.process
        self._limit = {"output_buffer_limit": PIECE // 2}  # it may give nearly twice the limit
        try:
            self._process(b"", **self._limit)
        except TypeError:  # before 1.2 it gives all that a chunk amounts to, to the client as well
            self._limit = {}

    def decode(self, data: bytes) -> Iterator[bytes]:
        piece = self._process(data, **self._limit)
        while piece:
            yield piece
            piece = self._process(b"", **self._limit)


class _Zstandard:
    """The standard library's since Python 3.14, or the same for older ones, which httpx2 uses."""

    def __init__(self) -> None:
        try:
            package = importlib.import_module("compression.zstd")
        except ImportError:
            package = importlib.import_module("backports.zstd")
        self._open: Callable[[], Any] = package.ZstdDecompressor
        self._frame = self._open()

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._frame.eof or self._frame.needs_input):
            if self._frame.eof:
                self._frame = self._open()
            piece = self._frame.decompress(data, PIECE)
            data = self._frame.unused_data if self._frame.eof else b""
            if piece:
                yield piece


class _OlderZstandard:
    """The package that httpx uses; it gives all that a chunk amounts to, to the client as well."""

    def __init__(self) -> None:
        self._open: Callable[[], Any] = importlib.import_module("zstandard").ZstdDecompressor
        self._frame = self._open().decompressobj()

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._frame.eof:
                self._frame = self._open().decompressobj()
            yield self._frame.decompress(data)
            data = self._frame.unused_data if self._frame.eof else b""


def _zstandard() -> Decoder:
    try:
        return _Zstandard()
    except ImportError:
        return _OlderZstandard()


_OPENERS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _zstandard,
}
