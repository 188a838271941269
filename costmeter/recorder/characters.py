"""How many characters of an answer were seen, counted in its bytes: it may be cut anywhere, and is never parsed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_STRING = rb'"((?:[^"\\\r\n]++|\\[^\r\n])*+)'  # what stands in a JSON string, as far as it was seen
# The fields that hold an answer's text in chat, FIM, responses and Anthropic shape. The responses API streams each text
# twice: first in pieces, named delta. Quotes inside a JSON text are escaped, so that a name in quotes is a field.
ANSWER = re.compile(
    rb'"(?:(delta)|(?:reasoning_)?content|text|thinking|partial_json|arguments)"[ \t]*:[ \t]*' + _STRING
)
_INPUT = re.compile(rb'"input"[ \t]*:[ \t]*(?=\{)')  # the arguments of a tool in a JSON answer of Anthropic's shape
_BRACE = re.compile(_STRING + rb'"?|(\{)|(\})')
_BLANK = re.compile(rb"(" + _STRING + rb'"?)|\s+')
_HEX = rb"[0-9a-fA-F]"
_ESCAPE = re.compile(
    rb"\\(?:(u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}|u[3-9a-fA-F]%b{3})|u%b{0,4}|[^\n])" % ((_HEX,) * 4)
)
_NOT_FIRST = bytes(range(0x80, 0xC0))  # all bytes of a character but its first
_BEFORE_U3000 = bytes(range(0xE3))  # U+3000 is the first character whose UTF-8 begins with 0xE3


class Characters(NamedTuple):
    """Counts of characters by DeepSeek's rule of thumb, which knows two kinds.

    Chinese is what begins at U+3000: punctuation, kana and ideographs, and also Hangul, full-width forms and emoji, for
    which the vendor gives no ratio. English is what lies before.
    """

    english: int = 0
    chinese: int = 0

    @property
    def total(self) -> int:
        return self.english + self.chinese

    def plus(self, other: Characters) -> Characters:
        return Characters(self.english + other.english, self.chinese + other.chinese)


class Answer:
    """The characters of an answer, added up from any pieces that do not cut a line."""

    def __init__(self) -> None:
        self._pieces = self._texts = Characters()

    @property
    def characters(self) -> Characters:
        return self._pieces if self._pieces.total else self._texts

    def add_lines(self, lines: bytes) -> None:
        """What the fields of these lines of a stream hold."""
        found = ANSWER.findall(lines)
        self.add_texts([text for is_piece, text in found if is_piece], are_pieces=True)
        self.add_texts([text for is_piece, text in found if not is_piece])

    def add_body(self, body: bytes) -> None:
        """What the fields of a JSON body hold; arguments of a tool that are an object count without white space."""
        rest, arguments, at = [], [], 0
        for match in _INPUT.finditer(body):
            if match.end() >= at:
                rest.append(body[at : match.end()])
                at = _end_of_object(body, match.end())
                arguments.append(_BLANK.sub(rb"\1", body[match.end() : at]))
        self.add_lines(b"".join([*rest, body[at:]]))
        self.add_texts(arguments)

    def add_texts(self, texts: Iterable[bytes], *, are_pieces: bool = False) -> None:
        """Texts as they stand in their JSON strings."""
        if are_pieces:
            self._pieces = self._pieces.plus(count(texts))
        else:
            self._texts = self._texts.plus(count(texts))


def count(texts: Iterable[bytes]) -> Characters:
    """The characters of texts as they stand in JSON strings; an escape, and a pair of surrogates, is one.

    Any bytes will do: what is no UTF-8 counts as something.
    """
    joined = b"\n".join(texts)  # no escape reaches over a line end
    wide = list(map(bool, _ESCAPE.findall(joined))) if b"\\" in joined else []
    plain = _ESCAPE.sub(b"", joined) if wide else joined
    return count_plain(plain.replace(b"\n", b"")).plus(Characters(wide.count(False), wide.count(True)))


def count_plain(utf8: bytes) -> Characters:
    """The characters of a text without escapes."""
    chinese = len(utf8.translate(None, _BEFORE_U3000))
    return Characters(len(utf8.translate(None, _NOT_FIRST)) - chinese, chinese)


def _end_of_object(body: bytes, start: int) -> int:
    """Where the JSON object ends that begins there, or what was seen of it."""
    depth = 0
    for brace in _BRACE.finditer(body, start):
        depth += (brace.group(2) is not None) - (brace.group(3) is not None)
        if depth == 0:
            return brace.end()
    return len(body)
