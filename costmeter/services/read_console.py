"""Read the ZIP of DeepSeek's console: names, sizes and encoding are checked before a row is looked at."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from costmeter.core.console_export import ConsoleExport, read_export
from costmeter.core.errors import InputError

MOST_BYTES = 64 << 20  # of the ZIP, and of what is in it: half a million rows
MOST_FILES = 48  # two for each month of two years
# What the library raises for a ZIP that is broken, wherever in it that is.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, OSError, ValueError)
_NAME = re.compile(r"(amount|cost)-[\w.-]{1,80}\.csv", re.ASCII | re.IGNORECASE)


class ReadFile(NamedTuple):
    """An export with the name of its file and the SHA-256 of its bytes."""

    name: str
    sha256: str
    export: ConsoleExport


def read_console(path: Path) -> ReadFile:
    """The export in a ZIP; nothing is unpacked to the disk.

    Raises InputError where it cannot be read or is no export of the console: both files, and no other, at its top. A
    row that cannot be used is told in the export's `refused`.
    """
    content = _content(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = _checked(archive, path)
            texts = {kind: {e.filename: archive.read(e) for e in found} for kind, found in entries.items()}
    except _BROKEN as error:
        raise InputError("file", path.name, f"is no ZIP that can be read ({error}); export it again") from None
    amounts, costs = ({name: _rows(name, text) for name, text in texts[kind].items()} for kind in ("amount", "cost"))
    return ReadFile(path.name, hashlib.sha256(content).hexdigest(), read_export(amounts, costs))


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError("file", path.name, f"has over {MOST_BYTES:,} bytes; export a shorter time")
        return path.read_bytes()
    except OSError as error:
        raise InputError("file", str(path), f"cannot be read: {error.strerror}") from error


def _checked(archive: zipfile.ZipFile, path: Path) -> dict[str, list[zipfile.ZipInfo]]:
    """The files of each kind, once all of them may be read: `zipfile` gives no more of one than the size it states."""
    entries = archive.infolist()
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        remedy = f"holds more than {MOST_FILES} files or {MOST_BYTES:,} bytes; export a shorter time"
        raise InputError("file", path.name, remedy)
    found: dict[str, list[zipfile.ZipInfo]] = {"amount": [], "cost": []}
    for entry in entries:
        match = _NAME.fullmatch(entry.filename)
        if match is None:
            remedy = "is not of the console's export, which has amount-*.csv and cost-*.csv; give that as it came"
            raise InputError("file", f"{path.name}: {entry.filename}", remedy)
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            remedy = "is encrypted, or packed in an unusual way; give the export as it came"
            raise InputError("file", f"{path.name}: {entry.filename}", remedy)
        found[match[1].lower()].append(entry)
    for kind, of_kind in found.items():
        if not of_kind:
            raise InputError("file", path.name, f"has no {kind}-*.csv; give the console's export as it came")
        if len({entry.filename for entry in of_kind}) != len(of_kind):
            raise InputError("file", path.name, f"has one {kind}-*.csv twice; export it again")
    return found


def _rows(name: str, content: bytes) -> Iterator[tuple[int, Sequence[str]]]:
    """Each row with its line; the file is UTF-8, with a byte order mark or without."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("file", name, f"is no UTF-8 at byte {error.start}; export it again") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{name}:{reader.line_num}", None, f"is no CSV: {error}; export it again") from None
        if row is None:
            return
        if row:
            yield reader.line_num, row
