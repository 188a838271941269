"""CSV as spreadsheets want it: text cells that one would run as a formula guarded, and a locale's own manners.

Excel opens a file by the marks of its user's locale: a preset writes a byte order mark, the locale's delimiter and its
decimal sign. It holds 15 digits of a number; longer amounts are whole in the file and not in its cells.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

from costmeter.core.errors import InputError
from costmeter.exports.content import Content
from costmeter.exports.export import Column, Kind
from costmeter.store.texts import cells, guarded, lines

BYTE_ORDER_MARK = "\ufeff".encode()
_CLASSES = bytes.maketrans(b"\n+-@\t", b",====")  # what parts cells as a comma, what begins a formula as an equals sign
_WITH_POINT = (Kind.MONEY, Kind.QUANTITY)


class Preset(NamedTuple):
    """How a locale's Excel parts cells and writes decimals."""

    delimiter: str
    decimal_sign: str


_ENGLISH, _CONTINENTAL = Preset(",", "."), Preset(";", ",")
# By the language, or language and country, of the Excel that is to open it.
PRESETS = dict.fromkeys(("en", "zh", "ja", "ko", "he", "th", "es-mx"), _ENGLISH)
PRESETS |= dict.fromkeys(
    ("cs", "da", "de", "es", "fi", "fr", "hu", "id", "it", "nb", "nl", "pl", "pt", "ro", "ru", "sv", "tr", "uk", "vi"),
    _CONTINENTAL,
)
PRESETS["de-ch"] = Preset(";", ".")


def preset_of(locale: str) -> Preset:
    """The preset of a locale such as `de` or `de-CH`; InputError where there is none."""
    name = locale.lower().replace("_", "-")
    found = PRESETS.get(name) or PRESETS.get(name.partition("-")[0])
    if found is None:
        raise InputError("excel", locale, f"use one of {', '.join(sorted(PRESETS))}")
    return found


def csv_parts(content: Content, preset: Preset | None) -> Generator[bytes, None, None]:
    """The file block by block. A preset guards every kind of export, since it is asked for to be opened."""
    columns = content.export.columns
    if preset is not None:
        written = _as_preset(columns, preset)
        yield BYTE_ORDER_MARK + written(content.header)
        yield from map(written, content.blocks())
        return
    yield content.header
    for block in content.blocks():
        yield _guarded(columns, block) if content.export.guarded and _may_run(block) else block


def _may_run(block: bytes) -> bool:
    """Whether a cell begins as a formula does; a negative number does too. Few blocks have one."""
    marked = block.translate(_CLASSES)
    if marked.startswith(b"=") or b",=" in marked:
        return True
    # A cell that begins with a carriage return is always quoted.
    return b'"' in block and (marked.startswith((b'"=', b'"\r')) or b',"=' in marked or b',"\r' in marked)


def _guarded(columns: Sequence[Column], block: bytes) -> bytes:
    guard = _guard(columns)
    return lines(map(guard, cells(block)))


def _guard(columns: Sequence[Column]) -> Callable[[list[str]], list[str]]:
    """Puts an apostrophe before the texts of a row that would run."""
    texts = [place for place, column in enumerate(columns) if column.kind is Kind.TEXT]

    def guard(row: list[str]) -> list[str]:
        for place in texts:
            row[place] = guarded(row[place])
        return row

    return guard


def _as_preset(columns: Sequence[Column], preset: Preset) -> Callable[[bytes], bytes]:
    guard = _guard(columns)
    decimals = [place for place, column in enumerate(columns) if column.kind in _WITH_POINT]

    def written(block: bytes) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=preset.delimiter)
        for row in map(guard, cells(block)):
            for place in decimals:
                row[place] = row[place].replace(".", preset.decimal_sign)
            writer.writerow(row)
        return out.getvalue().encode()

    return written
