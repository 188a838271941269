"""Bytes in, usage out: reads a response on its way to the caller and knows no HTTP library."""

from __future__ import annotations

from collections.abc import Callable

from costmeter.recorder.body import EventLines, WholeBody
from costmeter.recorder.characters import Characters
from costmeter.recorder.decoding import Decoder, UnreadableEncodingError, decode, open_decoders
from costmeter.recorder.reading import UNDECODABLE, Reading

_BLANK = b" \t\r\n\xef\xbb\xbf"  # DeepSeek sends empty lines while a client waits; a byte order mark may come first


class UsageTap:
    """Fed a response's raw chunks, it knows the usage at the end; never raises, whatever the bytes.

    What it reads does not depend on how the bytes are cut into chunks, as long as their encoding is intact.
    """

    def __init__(self, content_encoding: str | None = None) -> None:
        self._bytes = 0
        self._chunks = 0
        self._problem: str | None = None
        self._body: WholeBody | EventLines | None = None
        self._take_plain: Callable[[bytes], bool] | None = (
            None  # the body's, once its kind is known and nothing encoded
        )
        self._decoders: list[Decoder] = []
        try:
            self._decoders = open_decoders(content_encoding)
        except UnreadableEncodingError as error:
            self._problem = str(error)

    @property
    def is_complete(self) -> bool:
        """Whether the end mark of a stream has passed: nothing that counts can follow."""
        return self._body is not None and self._body.is_complete

    def feed(self, data: bytes, chunks: int = 1) -> bool:
        """Takes what came next, in so many chunks; True when the answer may be complete with it.

        In a stream that is usage or the end mark; in a JSON body it is any chunk that is not blank.
        """
        self._bytes += len(data)
        self._chunks += chunks
        try:
            if self._take_plain is not None:
                return self._take_plain(data)
            if self._problem is not None or self.is_complete:
                return False
            if not self._decoders:
                return self._take(data)
            decided = [self._take(piece) for piece in decode(self._decoders, data)]
            return any(decided)
        except Exception:  # noqa: BLE001 - each decoder has errors of its own, and none may reach the caller
            self._problem = UNDECODABLE
            self._take_plain = None
            return False

    def read(self) -> Reading:
        """What the bytes so far amount to."""
        reading = Reading(characters=Characters()) if self._body is None else self._body.read()
        problem = self._problem if self._problem and reading.usage is None else reading.problem
        return Reading(*reading[:5], problem, self._bytes, self._chunks, reading.characters)

    def _take(self, data: bytes) -> bool:
        if self._body is None:
            data = data.lstrip(_BLANK)
            if not data:
                return False
            self._body = WholeBody() if data.startswith(b"{") else EventLines()
            self._take_plain = None if self._decoders else self._body.take
        return self._body.take(data)
