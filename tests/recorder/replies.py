"""What a server may answer, and what becomes of the call."""

from __future__ import annotations

import gzip
import zlib

import brotli
from backports import zstd

from . import bodies
from .bodies import chat, chat_stream, chunk, event, json_body
from .replay import Reply, json_reply, stream_reply

ASKED = {"messages": [{"role": "user", "content": "Hello"}], "model": "deepseek-chat"}
STREAM = chat_stream()
FIRST_EVENT = len(b": keep-alive\n\n") + len(event(chunk("Hi")))

REPLIES: dict[str, Reply] = {
    "json": json_reply(json_body(chat())),
    "json in chunks": Reply([b"\n", b"\n", json_body(chat())[:50], json_body(chat())[50:]]),
    "gzip": json_reply(gzip.compress(json_body(chat())), headers={"content-encoding": "gzip"}),
    "deflate": json_reply(zlib.compress(json_body(chat())), headers={"content-encoding": "deflate"}),
    "br": json_reply(brotli.compress(json_body(chat())), headers={"content-encoding": "br"}),
    "zstd": json_reply(zstd.compress(json_body(chat())), headers={"content-encoding": "zstd"}),
    "stream": stream_reply(STREAM),
    "gzip stream": stream_reply(gzip.compress(STREAM), size=30, **{"content-encoding": "gzip"}),
    "br stream": stream_reply(brotli.compress(STREAM), size=30, **{"content-encoding": "br"}),
    "zstd stream": stream_reply(zstd.compress(STREAM), size=30, **{"content-encoding": "zstd"}),
    "402": json_reply(bodies.INSUFFICIENT, 402),
    "502": Reply(b"<html>Bad gateway</html>", 502, {"content-type": "text/html"}),
    "empty": json_reply(b""),
    "truncated json": Reply(json_body(chat())[:200], ending="truncated"),
    "truncated stream": stream_reply(STREAM[:300], "truncated"),
    "reset stream": stream_reply(STREAM[:300], "reset"),
    "reset before the head": Reply(ending="reset", is_silent=True),
    "gone before the head": Reply(ending="gone", is_silent=True),
    "stalled before the head": Reply(ending="stalled", is_silent=True),
    "stalled stream": stream_reply(STREAM[:300], "stalled"),
    "redirect": Reply(b"", 302, {"location": "/elsewhere"}),
    "broken gzip": json_reply(b"no gzip", headers={"content-encoding": "gzip"}),
}
STATUSES = {
    "json": ("ok", None),
    "json in chunks": ("ok", None),
    "gzip": ("ok", None),
    "deflate": ("ok", None),
    "br": ("ok", None),
    "zstd": ("ok", None),
    "stream": ("ok", None),
    "gzip stream": ("ok", None),
    "br stream": ("ok", None),
    "zstd stream": ("ok", None),
    "402": ("failed", None),
    "502": ("failed", None),
    "empty": ("unmetered", "no usage in the body"),
    "truncated json": ("unmetered", "cut off: RemoteProtocolError"),
    "truncated stream": ("unmetered", "cut off: RemoteProtocolError"),
    "reset stream": ("unmetered", "cut off: ReadError"),
    "reset before the head": ("unmetered", "cut off: ReadError"),
    "gone before the head": ("unmetered", "cut off: RemoteProtocolError"),
    "stalled before the head": ("unmetered", "timed out"),
    "stalled stream": ("unmetered", "timed out"),
    "redirect": ("failed", None),
    "broken gzip": ("unmetered", "undecodable body"),
}
