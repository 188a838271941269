"""Content encodings, undone in pieces with every codec that a client may have installed."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from backports import zstd

from costmeter.recorder.decoding import PIECE, UnreadableEncodingError, decode, open_decoders

PLAIN = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n' * 400


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without header": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "zstd in two frames": ("zstd", lambda data: zstd.compress(data[:100]) + zstd.compress(data[100:])),
    "zstd over gzip": ("gzip, zstd", lambda data: zstd.compress(gzip.compress(data))),
}


def unpack(encoding: str, data: bytes, size: int) -> bytes:
    decoders = open_decoders(encoding)
    return b"".join(piece for at in range(0, len(data), size) for piece in decode(decoders, data[at : at + size]))


@pytest.mark.parametrize("name", PACKED)
def test_every_encoding_is_undone_however_it_is_cut(name: str) -> None:
    encoding, pack = PACKED[name]

    assert [unpack(encoding, pack(PLAIN), size) for size in (1, 7, 1000, len(PLAIN))] == [PLAIN] * 4


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_no_piece_is_larger_than_it_may_be(name: str) -> None:
    encoding, pack = PACKED[name]
    pieces = list(decode(open_decoders(encoding), pack(bytes(5 * PIECE))))

    assert sum(map(len, pieces)) == 5 * PIECE
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.parametrize("name", ["zstd", "zstd in two frames"])
def test_the_package_of_httpx_is_used_where_that_of_httpx2_is_not_there(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, package, None)
    packed = PACKED[name][1](PLAIN)

    assert [unpack("zstd", packed, size) for size in (1, 7, len(packed))] == [PLAIN] * 3
    with pytest.raises(zstandard.ZstdError):
        unpack("zstd", b"no zstd at all", 100)


def test_a_codec_that_knows_no_limit_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = brotli.Decompressor

    class Older:
        """brotli as it was before 1.2: it takes nothing but the data."""

        def __init__(self) -> None:
            self._inner = newest()

        def process(self, data: bytes) -> bytes:
            plain: bytes = self._inner.process(data)
            return plain

    monkeypatch.setattr(brotli, "Decompressor", Older)

    assert [unpack("br", PACKED["br"][1](PLAIN), size) for size in (7, 1000)] == [PLAIN] * 2


def test_more_encodings_than_a_client_takes_are_refused() -> None:
    with pytest.raises(UnreadableEncodingError, match="6 encodings"):
        open_decoders("gzip, gzip, gzip, gzip, gzip, gzip")
