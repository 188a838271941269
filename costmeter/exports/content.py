"""The rows of an export as they go by: in their canonical rendition, counted, summed and digested.

The canonical rendition is CSV by RFC 4180: UTF-8, CR LF, a header, exact amounts, no guard against formulas and no
spreadsheet's manners. Every format is made from it, so that one digest stands for the content of all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from costmeter.exports.cells import texts_of
from costmeter.exports.export import Export, Kind
from costmeter.store.scope import Scope
from costmeter.store.texts import ROWS, Block, lines


class Content:
    """What an export has in a scope. `rows`, `sums` and `sha256` are right once the last block is taken.

    A scope that cannot be is refused when it is made.
    """

    def __init__(self, connection: Connection, export: Export, scope: Scope) -> None:
        self.export, self._connection, self._scope = export, connection, scope
        self.rows = 0
        self._sums = {column.name: 0 for column in export.columns if column.kind is Kind.MONEY}
        self.header = lines([[column.name for column in export.columns]])
        self._digest = hashlib.sha256(self.header)
        direct = export.direct
        self._blocks = direct.blocks(connection, scope) if direct else self._rendered(export.rows(connection, scope))

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical rendition."""
        return self._digest.hexdigest()

    @property
    def sums(self) -> Mapping[str, int]:
        """What each column of money comes to."""
        direct = self.export.direct
        return direct.sums(self._connection, self._scope) if direct else self._sums

    def blocks(self) -> Iterator[bytes]:
        """The canonical rendition without its header, once; each block is whole rows."""
        with closing(self._blocks):
            for text, rows in self._blocks:
                self._digest.update(text)
                self.rows += rows
                yield text

    def _rendered(self, rows: Iterator[tuple[Any, ...]]) -> Generator[Block, None, None]:
        texts = texts_of(self.export.columns)
        money = [(place, column.name) for place, column in enumerate(self.export.columns) if column.name in self._sums]
        while part := list(islice(rows, ROWS)):
            for place, name in money:
                self._sums[name] += sum(row[place] or 0 for row in part)
            yield Block(lines(map(texts, part)), len(part))
