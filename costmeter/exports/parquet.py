"""Parquet: money as decimal128 of twelve decimals, instants as timestamps of UTC, an empty cell as null.

The metadata of the file's schema name the kind of export and the digest of its content.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from itertools import islice
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from costmeter.core.money import DECIMALS
from costmeter.exports.content import Content
from costmeter.exports.export import Export, Kind

BLOCKS = 250  # of a row group: some 50,000 rows
_TYPES = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.MONEY: pa.decimal128(38, DECIMALS),
    Kind.QUANTITY: pa.decimal128(38, DECIMALS),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    Kind.DAY: pa.date32(),
}


class _Sink(io.RawIOBase):
    """What was written and not taken yet."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, part: Any, /) -> int:
        self._parts.append(bytes(part))
        self._size += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def parquet_parts(content: Content) -> Generator[bytes, None, None]:
    """The file row group by row group."""
    schema = pa.schema([(column.name, _TYPES[column.kind]) for column in content.export.columns])
    sink, blocks = _Sink(), content.blocks()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        while group := b"".join(islice(blocks, BLOCKS)):
            writer.write_table(_table(content, group, schema))
            yield sink.taken()
        writer.add_key_value_metadata(metadata(content.export, content.sha256))
    yield sink.taken()


def metadata(export: Export, sha256: str) -> dict[str, str]:
    """What a file says of its content, by key."""
    return {"costmeter.kind": export.name, "costmeter.content_sha256": sha256}


def _table(content: Content, group: bytes, schema: pa.Schema) -> pa.Table:
    return csv.read_csv(
        pa.py_buffer(content.header + group),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, timestamp_parsers=[csv.ISO8601]
        ),
    )
