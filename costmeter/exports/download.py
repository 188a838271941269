"""An export as a file that goes out while it is read: its name, its media type, and its bytes part by part."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from itertools import chain, islice
from typing import NamedTuple

from sqlalchemy import Connection

from costmeter.exports.beancount import write_beancount
from costmeter.exports.content import Content
from costmeter.exports.export import Export
from costmeter.exports.format import MEDIA_TYPES, Format, parts
from costmeter.store.scope import Scope

SECONDS = 3_600.0  # of one statement of the database: a file goes as fast as its reader takes it
Reading = Callable[[float], AbstractContextManager[Connection]]


class Download(NamedTuple):
    """A file that somebody saves; `parts` read the database as they are taken."""

    name: str
    media_type: str
    parts: Iterator[bytes]

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Content-Disposition": f'attachment; filename="{self.name}"', "Cache-Control": "no-store"}


def open_download(reading: Reading, export: Export, scope: Scope, form: Format, excel: str | None = None) -> Download:
    """The file of an export, from one snapshot; what is refused is refused before its first part, by the same errors
    as `Content` and `parts`. `reading` gives the snapshot, with the seconds that it may take."""
    file = _parts(reading, export, scope, form, excel)
    first = next(file)
    name = f"{export.name}-{scope.month}.{form}" if scope.month else f"{export.name}.{form}"
    return Download(name, MEDIA_TYPES[form], chain([first], file))


def open_beancount(reading: Reading, scope: Scope) -> Download:
    """The beancount file of a billing month, which is written as a whole: it has an entry a day, project and model."""
    out = io.StringIO()
    with reading(SECONDS) as connection:
        write_beancount(connection, scope, out)
    return Download(f"journal-{scope.month}.beancount", "text/plain; charset=utf-8", iter([out.getvalue().encode()]))


def _parts(reading: Reading, export: Export, scope: Scope, form: Format, excel: str | None) -> Iterator[bytes]:
    """The file; its first part comes once the first rows are read, so that what fails at once fails before it."""
    with (
        reading(SECONDS) as connection,
        closing(parts(Content(connection, export, scope), form, excel)) as file,
    ):
        yield b"".join(islice(file, 2))  # a header, and rows
        yield from file
