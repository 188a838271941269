"""The tap: usage out of any bytes in any chunks, and never an error."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmeter.core.usage import read_usage
from costmeter.recorder import body as body_module
from costmeter.recorder.reading import ERROR_INSIDE, NO_USAGE, TOO_LARGE, UNDECODABLE, UNREADABLE, Reading
from costmeter.recorder.tap import UsageTap

from . import bodies
from .bodies import USAGE, chat, chat_stream, chunk, done, event, json_body

SYNTHETIC = {
    "chat": json_body(chat()),
    "chat without usage": json_body(chat(usage=None)),
    "chat stream": chat_stream(),
    "chat stream with CR LF": chat_stream("\r\n\r\n"),
    "chat stream with CR": chat_stream("\r\r"),
    "trailing usage": bodies.trailing_usage_stream(),
    "Anthropic stream": bodies.anthropic_stream(),
    "error": bodies.INSUFFICIENT,
    "error in a stream": event(chunk("Hi")) + event({"error": {"code": "server_overload"}}) + done(),
    "stream without usage": event(chunk("Hi")) + done(),
    "responses that fail": event({"type": "response.failed", "response": {"error": {"code": "x"}, "usage": None}}),
    "final event with nothing else": event({"type": "response.completed"}) + event(chunk("", usage=USAGE)),
    "final event in between": event(chunk("Hi")) + event({"type": "response.failed"}) + event(chunk("", usage=USAGE)),
    "nothing": b"",
    "blanks": b"\n\n \r\n",
    "a page": b"<html>\n<body>Bad gateway</body>\n</html>\n",
    "a list": b"[1, 2]",
}
RECORDED = [
    bodies.CHAT_JSON,
    bodies.CHAT_STREAM,
    bodies.RESPONSES_JSON,
    bodies.RESPONSES_STREAM,
    bodies.CHUNK_LINES,
    "pydantic-ai__chat_reasoner_2025-04-22.json",
    "vercel-ai__deepseek-text.json",
    "vercel-ai__deepseek-tool-call.json",
]


def read(chunks: list[bytes], encoding: str | None = None) -> Reading:
    tap = UsageTap(encoding)
    for data in chunks:
        tap.feed(data)
    return tap.read()


def content(reading: Reading) -> Reading:
    """The reading without the number of chunks, which alone may depend on how the bytes are cut."""
    return reading._replace(chunks=0)


@pytest.mark.parametrize(
    ("name", "counts", "model", "response_id"),
    [
        (bodies.CHAT_JSON, (512, 51, 116, 60), "deepseek-v4-flash", "0841b0a3-0321-47fa-a8a5-f08e5a4b3cb3"),
        (bodies.CHAT_STREAM, (0, 6, 212, 198), "deepseek-reasoner", "33be18fc-3842-486c-8c29-dd8e578f7f20"),
        (bodies.CHUNK_LINES, (320, 19, 83, 39), "deepseek-reasoner", "cca85624-4056-401f-b220-d77601d1f70d"),
        (bodies.RESPONSES_JSON, (0, 90, 15, 7), "deepseek-v4-flash", "2e532992-cac2-41fd-80b5-c98ad79215f3"),
        (bodies.RESPONSES_STREAM, (0, 90, 15, 7), "deepseek-v4-flash", "bf5e7791-6c05-44ca-b7e0-56aa217150b1"),
        ("vercel-ai__deepseek-text.json", (0, 13, 300, 0), "deepseek-chat", "00f10ecd-60b3-4707-b5db-e4bcadf7aea1"),
    ],
)
def test_recorded_bodies_are_read(name: str, counts: tuple[int, ...], model: str, response_id: str) -> None:
    reading = read([bodies.recorded(name)])

    assert reading.usage is not None
    assert read_usage(reading.usage)[:4] == counts
    assert (reading.model, reading.response_id) == (model, response_id)
    assert reading.complete
    assert reading.problem is None


@pytest.mark.parametrize("name", RECORDED)
def test_a_cut_at_any_offset_changes_nothing(name: str) -> None:
    body = bodies.recorded(name)
    expected = content(read([body]))

    step = max(1, len(body) // 3000)  # each offset of most bodies; the long stream in steps, and wholly in bytes
    for at in range(0, len(body), step):
        assert content(read([body[:at], body[at:]])) == expected
    assert content(read([bytes([byte]) for byte in body])) == expected


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])
def test_a_cut_at_any_offset_of_any_encoding_changes_nothing(name: str, encoding: str | None) -> None:
    plain = SYNTHETIC[name]
    body = {None: plain, "gzip": gzip.compress(plain, mtime=0), "deflate": zlib.compress(plain)}[encoding]
    expected = content(read([body], encoding))

    for at in range(len(body)):
        assert content(read([body[:at], body[at:]], encoding)) == expected
    assert content(read([bytes([byte]) for byte in body], encoding)) == expected
    assert expected._replace(bytes=0) == content(read([plain]))._replace(bytes=0)


@settings(max_examples=300)
@given(data=st.data(), name=st.sampled_from(sorted(SYNTHETIC)), encoding=st.sampled_from([None, "gzip", "deflate"]))
def test_a_truncated_body_reads_the_same_in_any_chunks(data: st.DataObject, name: str, encoding: str | None) -> None:
    plain = SYNTHETIC[name]
    body = {None: plain, "gzip": gzip.compress(plain, mtime=0), "deflate": zlib.compress(plain)}[encoding]
    body = body[: data.draw(st.integers(0, len(body)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    assert content(read(chunks, encoding)) == content(read([body], encoding))


@settings(max_examples=500)
@given(
    chunks=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from(
                [b"data:", b'"usage":{"', b"\n", b"\r", b"{", b"}", b"[DONE]", b'"error":{', b"null", b'":']
            ),
            st.sampled_from(sorted(SYNTHETIC.values())),
        ),
        max_size=10,
    ),
    encoding=st.sampled_from(
        [None, "", "identity", "gzip", "deflate", "gzip, deflate", "br", "zstd", "x", "a,b,c,d,e,f"]
    ),
)
def test_no_bytes_raise(chunks: list[bytes], encoding: str | None) -> None:
    reading = read(chunks, encoding)

    assert (reading.bytes, reading.chunks) == (sum(map(len, chunks)), len(chunks))
    assert (reading.usage is None) == (reading.problem is not None)
    json.dumps(reading.usage, allow_nan=False, ensure_ascii=False).encode()


@settings(max_examples=200)
@given(chunks=st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(sorted(SYNTHETIC.values()))), max_size=6))
def test_any_plain_bytes_read_the_same_in_one_chunk(chunks: list[bytes]) -> None:
    assert content(read(chunks)) == content(read([b"".join(chunks)]))


def test_usage_is_kept_verbatim() -> None:
    usage = {**USAGE, "something_new": {"x": [1, None]}}

    assert read([json_body(chat(usage=usage))]).usage == usage


def test_the_last_usage_counts_and_nothing_after_the_end_mark() -> None:
    early, late = {**USAGE, "completion_tokens": 1}, {**USAGE, "completion_tokens": 9}
    stream = event(chunk("a", usage=early)) + event(chunk("b", usage=USAGE)) + done() + event(chunk("c", usage=late))

    assert read([stream]).usage == USAGE


@pytest.mark.parametrize("place", [0, 4, 30, 55, 59])
def test_what_matters_is_found_wherever_it_stands_in_one_large_chunk(place: int) -> None:
    texts = [event(chunk("Hi")) for _ in range(60)]
    usage, error = event(chunk("", usage=USAGE)), event({"error": {"code": "server_overload"}})
    assert read([b"".join([*texts[:place], usage, *texts[place:]])]).usage == USAGE
    assert read([b"".join([*texts[:place], error, *texts[place:]])]).error_code == "server_overload"
    ended = read([b"".join([*texts[:place], done(), *texts[place:], usage])])
    assert ended.usage is None
    assert ended.characters == read([*texts[:place], done()]).characters


def test_a_stream_of_typed_events_that_fails_is_complete_with_its_error() -> None:
    begun = event({"type": "response.created", "response": {"id": "r", "error": None, "usage": None}})
    texts = [event({"type": "response.output_text.delta", "delta": "Hi"}) for _ in range(40)]
    failed = event({"type": "response.failed", "response": {"id": "r", "error": {"code": "x"}, "usage": None}})

    for chunks in ([begun, *texts, failed], [b"".join([begun, *texts, failed])]):
        reading = read(chunks)
        assert (reading.complete, reading.error_code, reading.response_id) == (True, "x", "r")


def test_anthropic_counts_of_input_and_output_are_one_usage() -> None:
    reading = read([bodies.anthropic_stream()])

    assert reading.usage == bodies.FINAL_ANTHROPIC
    assert (reading.model, reading.response_id, reading.complete) == ("deepseek-flash", "m-1", True)


def test_the_start_of_an_anthropic_stream_is_no_usage() -> None:
    stream = bodies.anthropic_stream()
    cut = stream.index(b"event: message_delta")

    reading = read([stream[:cut]])

    assert (reading.usage, reading.model, reading.problem) == (None, "deepseek-flash", NO_USAGE)


def test_a_last_chunk_that_was_cut_off_does_not_hide_the_usage_before_it() -> None:
    reading = read([event(chunk("", usage=USAGE)), event(chunk("", usage=USAGE))[:-40]])

    assert reading.usage == USAGE
    assert not reading.complete


@pytest.mark.parametrize(
    ("body", "problem", "code"),
    [
        (b"", NO_USAGE, None),
        (SYNTHETIC["chat"][:-1], UNREADABLE, None),
        (SYNTHETIC["a page"], UNREADABLE, None),
        (SYNTHETIC["chat without usage"], NO_USAGE, None),
        (SYNTHETIC["stream without usage"], NO_USAGE, None),
        (SYNTHETIC["error in a stream"], ERROR_INSIDE, "server_overload"),
        (SYNTHETIC["responses that fail"], ERROR_INSIDE, "x"),
        (bodies.INSUFFICIENT, ERROR_INSIDE, "invalid_request"),
        (b'{"error":{"type":"unknown_error","code":null}}', ERROR_INSIDE, "unknown_error"),
        (b'{"error":{"code":503}}', ERROR_INSIDE, "503"),
        (b'data: {"type":"error","error":{"type":"overloaded_error"}}\n\n', ERROR_INSIDE, "overloaded_error"),
        (b'data: {"type":"error","code":"rate_limit"}\n\n', ERROR_INSIDE, "rate_limit"),
        (b'{"usage":{"prompt_tokens":NaN}}', UNREADABLE, None),
        (b'{"usage":[1]}', NO_USAGE, None),
        (b'{"a":' * 100_000, UNREADABLE, None),
    ],
)
def test_a_body_without_usage_says_why(body: bytes, problem: str, code: str | None) -> None:
    reading = read([body])

    assert (reading.usage, reading.problem, reading.error_code) == (None, problem, code)


def test_half_a_surrogate_pair_becomes_something_that_can_be_stored() -> None:
    reading = read([b'{"id":"a\\ud83d","model":"m","usage":{"x\\uDE00":1}}'])

    assert (reading.response_id, reading.usage) == ("a\ufffd", {"x\ufffd": 1})


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, compress"])
def test_an_encoding_for_which_nothing_is_installed_is_named(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("brotli", "brotlicffi", "backports.zstd", "compression.zstd", "zstandard"):
        monkeypatch.setitem(__import__("sys").modules, package, None)

    reading = read([b"whatever"], encoding)

    assert reading.problem == f"unreadable encoding: {encoding.split(', ')[-1]}"


def test_deflate_is_read_without_its_header_too() -> None:
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = raw.compress(SYNTHETIC["chat"]) + raw.flush()

    assert read([body[:1], body[1:]], "deflate").usage == USAGE


def test_a_broken_encoding_is_named() -> None:
    assert read([b"no gzip at all"], "gzip").problem == UNDECODABLE


def test_usage_that_passed_before_the_encoding_broke_counts() -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    good = packer.compress(event(chunk("", usage=USAGE))) + packer.flush(zlib.Z_SYNC_FLUSH)

    assert read([good, b"\xff" * 50], "gzip").usage == USAGE


def test_memory_is_bounded_for_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "LIMIT", 1000)
    body = json_body(chat(padding="x" * 1000))

    for chunks in ([body], [body[:500], body[500:]]):
        reading = read(chunks)
        assert (reading.usage, reading.problem) == (None, TOO_LARGE)


def test_memory_is_bounded_for_a_line_and_the_next_line_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "LIMIT", 1000)
    long = event(chunk("x" * 2000, usage=USAGE))
    body = event(chunk("a")) + long + event(chunk("b", usage=USAGE)) + done()

    for size in (1, 7, 300, 999, 5000):
        assert read([body[at : at + size] for at in range(0, len(body), size)]).usage == USAGE
        assert read([long[at : at + size] for at in range(0, len(long), size)]).problem == TOO_LARGE


def test_a_small_body_that_inflates_without_end_is_not_kept() -> None:
    body = gzip.compress(b'{"a":"' + b"x" * (50 << 20))

    assert read([body], "gzip").problem == TOO_LARGE


def test_feed_says_when_something_is_decided() -> None:
    tap = UsageTap()
    parts: list[tuple[bytes, Any]] = [
        (event(chunk("Hi", usage=None)), False),
        (event(chunk("", usage=USAGE))[:-2], False),
        (b"\n\n", True),
        (b": keep-alive\n\n", False),
        (done(), True),
        (event(chunk("", usage=USAGE)), False),
    ]

    assert [tap.feed(part) for part, _ in parts] == [decided for _, decided in parts]
    assert tap.is_complete
