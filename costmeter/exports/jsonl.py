"""JSON Lines: an object a row, amounts as decimal strings, an empty cell as null."""

from __future__ import annotations

from collections.abc import Callable, Generator

import msgspec

from costmeter.exports.content import Content
from costmeter.exports.export import Kind
from costmeter.store.texts import cells

_encode = msgspec.json.Encoder().encode_lines


def jsonl_parts(content: Content) -> Generator[bytes, None, None]:
    """The file block by block."""
    names = [column.name for column in content.export.columns]
    read: list[Callable[[str], object]] = [
        int if column.kind is Kind.INTEGER else str for column in content.export.columns
    ]
    for block in content.blocks():
        yield _encode(
            {name: None if text == "" else of(text) for name, of, text in zip(names, read, row, strict=True)}
            for row in cells(block)
        )
