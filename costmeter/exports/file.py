"""A file that appears whole under its name or not at all, with a manifest beside it that says what it is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection

from costmeter.core.errors import InputError
from costmeter.exports.beancount import write_beancount
from costmeter.exports.content import Content
from costmeter.exports.export import Export
from costmeter.exports.format import VERSION, Format, parts
from costmeter.exports.manifest import manifest
from costmeter.store.scope import Scope


def write_export(
    connection: Connection, export: Export, scope: Scope, path: Path, *, form: Format, excel: str | None = None
) -> dict[str, Any]:
    """Write an export to a file and its manifest beside it, and say what the manifest says.

    Both are written under other names, brought to the disk and renamed, the manifest last. A process that dies leaves
    the file and manifest that were there, or the new file alone, or both new ones; never a half file, and never a
    manifest of another file. InputError where the place cannot be written.
    """
    content = Content(connection, export, scope)
    with closing(parts(content, form, excel)) as written:
        return _write(path, written, lambda: manifest(connection, content, scope, form, excel))


def write_beancount_file(connection: Connection, scope: Scope, path: Path) -> dict[str, Any]:
    """The same for the beancount file of a billing month, whose content is the file itself."""
    out = io.StringIO()
    count = write_beancount(connection, scope, out)
    said = {"format_version": VERSION, "kind": "beancount", "rows": count, "month": scope.month}
    return _write(path, iter([out.getvalue().encode()]), lambda: {**said, "account": scope.account})


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that appears under its name once it is written as a whole."""
    _check(path)
    with _temporary(path) as file:
        _fill(file, iter([content]))
        file.replace(path)
        _sync(path.parent)


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name once it is written as a whole."""
    _check(path)
    with _temporary(path) as file:
        with file.open("w", encoding="utf-8", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        file.chmod(0o644)
        file.replace(path)
        _sync(path.parent)


def _check(path: Path) -> None:
    if path.exists() and not path.is_file():  # a folder, or a device that a rename would replace
        raise InputError("output", str(path), "is no file; name one, or leave it out for standard output")


def _write(path: Path, written: Iterator[bytes], say: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Write a file and beside it what `say` says of it once it is written."""
    _check(path)
    beside = manifest_path(path)
    with _temporary(path) as file, _temporary(beside) as note:
        size, digest = _fill(file, written)
        said = say() | {"file": path.name, "bytes": size, "file_sha256": digest}
        _fill(note, iter([f"{json.dumps(said, indent=2, ensure_ascii=False)}\n".encode()]))
        beside.unlink(missing_ok=True)
        file.replace(path)
        note.replace(beside)
        _sync(path.parent)
    return said


def manifest_path(path: Path) -> Path:
    """Where the manifest of a file is."""
    return path.with_name(f"{path.name}.manifest.json")


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A new file in the same folder, gone at the end unless it was renamed."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError("output", str(path), f"cannot be written: {error.strerror}") from error
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _fill(path: Path, written: Iterator[bytes]) -> tuple[int, str]:
    """Write a file and bring it to the disk; returns its bytes and their SHA-256."""
    size, digest = 0, hashlib.sha256()
    with path.open("wb") as out:
        for part in written:
            out.write(part)
            digest.update(part)
            size += len(part)
        out.flush()
        os.fsync(out.fileno())
    path.chmod(0o644)
    return size, digest.hexdigest()


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
