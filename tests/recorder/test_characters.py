"""Characters of an answer that was seen in part: what parsing its text would count, for any cut and any bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmeter.recorder import body as body_module
from costmeter.recorder.characters import Answer, Characters, count
from costmeter.recorder.reading import Reading
from costmeter.recorder.tap import UsageTap

from . import bodies
from .bodies import USAGE, chat, chat_stream, chunk, done, event, json_body

ANTHROPIC_JSON = {
    "id": "m-1",
    "type": "message",
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "Hm, 天气?", "signature": "c2ln"},
        {"type": "text", "text": 'It is "text": "x".'},
        {
            "type": "tool_use",
            "id": "t",
            "name": "put",
            "input": {"content": "a {b}\n", "n": [1, {"input": {"x": "}"}}]},
        },
        {"type": "tool_use", "id": "t", "name": "put", "input": {}},
    ],
    "model": "deepseek-flash",
    "stop_reason": "tool_use",
}
FIM_STREAM = b"".join(event({"id": "f-1", "choices": [{"text": text, "index": 0}]}) for text in ("def ", "f():\n", "x"))
MESSAGE_STREAM = (
    event({"type": "message_start", "message": {"id": "m-1", "content": [], "usage": {"input_tokens": 8}}})
    + event({"type": "content_block_start", "content_block": {"type": "text", "text": ""}})
    + b"".join(
        event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")
        for delta in (
            {"type": "thinking_delta", "thinking": "Hm"},
            {"type": "text_delta", "text": "Hi"},
            {"type": "text_delta", "text": "你好"},
            {"type": "signature_delta", "signature": "c2lnbmF0dXJl"},
            {"type": "input_json_delta", "partial_json": '{"a":'},
            {"type": "input_json_delta", "partial_json": '"b"}'},
        )
    )
)


def read(chunks: list[bytes]) -> Reading:
    tap = UsageTap()
    for data in chunks:
        tap.feed(data)
    return tap.read()


def seen(*chunks: bytes) -> Characters:
    reading = read(list(chunks))
    assert reading.usage is None
    assert reading.characters is not None
    return reading.characters


def characters(text: str) -> Characters:
    """Counted one by one; half a surrogate pair is a character, as it is for Python."""
    chinese = sum(ord(character) >= 0x3000 for character in text)
    return Characters(len(text) - chinese, chinese)


def texts(part: Any) -> Iterator[str]:
    """The texts of an answer, of an event that adds to it, or of a part of one."""
    for name in ("content", "reasoning_content", "text", "thinking", "partial_json", "arguments"):
        value = part.get(name)
        if isinstance(value, str):
            yield value
    for name in ("choices", "output", "content", "tool_calls", "summary"):
        value = part.get(name)
        for inner in value if isinstance(value, list) else []:
            yield from texts(inner)
    for name in ("message", "delta", "function"):
        inner = part.get(name)
        if isinstance(inner, dict):
            yield from texts(inner)
        elif isinstance(inner, str):
            yield inner


def parsed(body: bytes) -> Characters:
    """The same count by parsing: of a body, or of each event of a stream, those that repeat what was sent left out."""
    if body.lstrip().startswith(b"{"):
        return characters("".join(texts(json.loads(body))))
    events = [line[5:] for line in body.splitlines() if line.startswith(b"data:") and b"[DONE]" not in line]
    said = ""
    for payload in map(json.loads, events):
        if not payload.get("type", "").startswith("response.") or payload["type"].endswith(".delta"):
            said += "".join(texts(payload))
    return characters(said)


def counted(body: bytes) -> Characters:
    answer = Answer()
    answer.add_body(body)
    return answer.characters


@pytest.mark.parametrize(
    "name",
    [
        bodies.CHAT_JSON,
        bodies.CHAT_STREAM,
        bodies.RESPONSES_JSON,
        bodies.RESPONSES_STREAM,
        bodies.CHUNK_LINES,
        "pydantic-ai__chat_reasoner_2025-04-22.json",
        "pydantic-ai__chat_v4-flash_tool_1_2026-06-10.json",
        "pydantic-ai__chat_v4-flash_tool_2_2026-06-10.json",
        "vercel-ai__deepseek-text.json",
        "vercel-ai__deepseek-tool-call.json",
    ],
)
class TestRecordedBodies:
    def test_counts_are_those_of_parsing(self, name: str) -> None:
        body = bodies.recorded(name)

        assert counted(body) == parsed(body)
        assert counted(body).english > 20

    def test_a_body_that_breaks_off_before_its_usage_has_the_same_characters(self, name: str) -> None:
        body = bodies.recorded(name)
        at = body.rindex(b'"usage"')

        assert seen(body[:at]) == parsed(body)
        step = max(1, at // 400)
        for cut in range(0, at, step):
            assert seen(body[:cut], body[cut:at]) == parsed(body)
        assert seen(*(body[n : n + 1] for n in range(at))) == parsed(body)

    def test_a_measured_answer_is_not_counted(self, name: str) -> None:
        assert read([bodies.recorded(name)]).characters is None


@pytest.mark.parametrize("stream", [FIM_STREAM, MESSAGE_STREAM, event(chunk("Hi")) + event(chunk("")) + done()])
def test_streams_that_no_recording_has(stream: bytes) -> None:
    assert seen(stream) == parsed(stream)
    for at in range(len(stream)):
        assert seen(stream[:at], stream[at:]) == parsed(stream)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_arguments_of_a_tool_may_be_an_object(separators: tuple[str, str], ascii_only: bool) -> None:
    body = json.dumps(ANTHROPIC_JSON, separators=separators, ensure_ascii=ascii_only).encode()

    # The object without white space, an escape as one character; what it holds is not counted a second time.
    arguments = '{"content":"a {b}_","n":[1,{"input":{"x":"}"}}]}' + "{}"
    assert seen(body) == characters('Hm, 天气?It is "text": "x".' + arguments)


def test_the_arguments_of_a_tool_may_break_off() -> None:
    assert seen(b'{"content":[{"type":"tool_use","input": {"a" : "b c') == characters('{"a":"b c')
    assert seen(b'{"content":[{"type":"tool_use","input": {"a" : [{') == characters('{"a":[{')


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb"a\n\"b\\", 'a\n"b\\'),
        (rb"\\u4e2d", "\\u4e2d"),
        (rb"\u4e2d\u6587", "中文"),
        (rb"\u2fff\u3000\u00e9", "\u2fff\u3000é"),
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"\uD83D\uDE00\ud83d", "\U0001f600\ud83d"),
        (rb"\ud83d\ud83d\ude00\ude00", "\ud83d\U0001f600\ude00"),
        ("Zoë — 中文。😀".encode(), "Zoë — 中文。😀"),
    ],
)
def test_an_escape_is_one_character(raw: bytes, text: str) -> None:
    assert json.loads(b'"' + raw + b'"') == text
    assert count([raw]) == characters(text)
    assert seen(b'data: {"choices":[{"delta":{"content":"' + raw + b'"}}]}\n\n') == characters(text)


@given(st.lists(st.text()), st.booleans())
def test_any_texts_count_as_parsing_does(said: list[str], ascii_only: bool) -> None:
    storable = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in said]
    raw = [json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode() for text in storable]

    assert count(raw) == characters("".join(storable))


@given(st.text(min_size=1), st.booleans(), st.data())
def test_a_body_that_is_cut_has_the_characters_before_the_cut(text: str, ascii_only: bool, data: st.DataObject) -> None:
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    raw = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()
    at = data.draw(st.integers(0, len(raw)))

    whole = raw[:at]
    while True:  # without the escape, pair or character that is cut in half
        try:
            expected = len(json.loads(b'"' + whole + b'"', strict=False).encode("utf-16-le").decode("utf-16-le"))
            break
        except ValueError:
            whole = whole[:-1]
    assert expected <= seen(b'{"choices":[{"message":{"content":"' + raw[:at]).total <= expected + 2


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"data:",
            b"\n",
            b"\r",
            b"\\",
            b'"',
            b"[DONE]",
            b'"usage":{"a":1}',
            b'"error":{}',
            b'"content":"',
            b'"delta":"',
        ]
    ),
    st.sampled_from([b"data: {", b'"type":"error"', b'"input":{', b"}}", b'","', b"\\ud83d", b"\\ude00", b"\xe4\xb8"]),
    st.sampled_from([event(chunk("Hi")), event(chunk("\\")), FIM_STREAM, MESSAGE_STREAM, chat_stream()]),
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=14), st.data())
def test_any_bytes_count_the_same_in_any_chunks(pieces: list[bytes], data: st.DataObject) -> None:
    body = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    whole = read([body])
    assert read(pieces)._replace(chunks=0) == whole._replace(chunks=0)
    assert read(chunks)._replace(chunks=0) == whole._replace(chunks=0)
    assert (whole.characters is None) == (whole.usage is not None)


TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            '"usage":{"a":1}',
            "[DONE]",
            "\ndata: [DONE]\n",
            "\rdata: [DONE]\r",
            '"error":{"code":"x"}',
            "\\",
            '\\"',
            "data:",
            "中文",
            "1}",
        ]
    ),
)
FRAMES = st.sampled_from(
    [
        lambda text, n: event(chunk(text)),
        lambda text, n: event(chunk(text, usage=None)),
        lambda text, n: event({"id": "f", "choices": [{"text": text}]}),
        lambda text, n: event({"type": "content_block_delta", "delta": {"text": text}}, "content_block_delta"),
        lambda text, n: event({"type": "response.output_text.delta", "delta": text, "sequence_number": n}, "x"),
        # No server sends these: a text as it stands, whatever it breaks.
        lambda text, n: b'data: {"content":"%b","usage":null}\n\n' % text.encode("utf-8", "replace"),
        lambda text, n: b'data: {"content":"%b"}\n' % text.encode("utf-8", "replace"),
    ]
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(FRAMES, st.lists(TEXTS, max_size=6)), max_size=4),
    st.sampled_from([b"", done(), event(chunk("", usage=USAGE)), event(chunk("", usage=USAGE)) + done()]),
    st.integers(1, 300),
)
def test_events_one_by_one_are_read_as_they_are_in_one_piece(
    parts: list[tuple[Any, list[str]]], end: bytes, size: int
) -> None:
    events = [frame(text, n) for frame, said in parts for n, text in enumerate(said)] + [end]
    body = b"".join(events)

    whole = read([body])
    assert read(events)._replace(chunks=0) == whole._replace(chunks=0)
    assert read([body[at : at + size] for at in range(0, len(body), size)])._replace(chunks=0) == whole._replace(
        chunks=0
    )


@pytest.mark.parametrize(
    "events",
    [
        # Cut where the event before had nothing more to say.
        [*[event(chunk("a"))] * 3, *event(chunk("b", usage=USAGE)).partition(b',"usage"')],
        # What stands where a text should is the name of a field, though no JSON.
        [
            event(chunk("a", usage=USAGE)),
            *(b'data: {"content":"%b":{"a":1}}\n' % name for name in (b"x", b"y", b"usage")),
        ],
        [event(chunk("a")), *(b'data: {"text":"%b":{"code":1}}\n' % name for name in (b"x", b"y", b"error"))],
    ],
)
def test_no_frame_hides_what_matters(events: list[bytes]) -> None:
    assert read(events)._replace(chunks=0) == read([b"".join(events)])._replace(chunks=0)


def test_what_is_kept_until_it_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [event(chunk(" word" if n % 7 else ' "q" \n', usage=None)) for n in range(300)]
    numbered = [event({"type": "x", "delta": " word", "sequence_number": n}) for n in range(300)]
    unlike = [event({"id": str(n), "choices": [{"text": " word"}]}) for n in range(300)]
    expected = {id(stream): seen(*stream) for stream in (plain, numbered, unlike)}
    assert [expected[id(stream)] for stream in (plain, numbered, unlike)] == [
        parsed(b"".join(s)) for s in (plain, numbered, unlike)
    ]

    monkeypatch.setattr(body_module, "UNCOUNTED", 100)
    for stream in (plain, numbered, unlike):
        assert seen(*stream) == expected[id(stream)]
        lines = body_module.EventLines()
        for data in stream:
            lines.take(data)
            assert sum(map(len, lines._lines)) <= body_module.UNCOUNTED


def test_of_a_body_that_is_too_large_the_beginning_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "LIMIT", 1000)
    body = json_body(chat(padding="x" * 2000)).lstrip()

    for size in (1, 7, 999, 1000, 1001, 5000):
        assert seen(*(body[at : at + size] for at in range(0, len(body), size))) == characters("Hi \U0001f600")


def test_nothing_seen_is_no_characters() -> None:
    assert seen() == seen(b"\n\n") == seen(b"<html></html>") == Characters(0, 0)
