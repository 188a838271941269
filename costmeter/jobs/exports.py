"""Last month's exports in a folder: written once, and again only where their content changed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.exports.content import Content
from costmeter.exports.export import Export
from costmeter.exports.file import manifest_path, write_export
from costmeter.exports.format import VERSION, Format
from costmeter.exports.kinds import EXPORTS
from costmeter.services.run_job import Done
from costmeter.store import accounts
from costmeter.store.engine import reading
from costmeter.store.scope import Scope


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """Where exports are written, which kinds, and how."""

    folder: Path
    exports: tuple[Export, ...]
    formats: tuple[Format, ...]

    @classmethod
    def checked(cls, folder: Path, kinds: str, formats: str) -> ExportFolder:
        """The folder of the settings; InputError by their names where a kind or format is none."""
        named = _named("COSTMETER_EXPORT_KINDS", kinds, EXPORTS)
        return cls(
            folder,
            tuple(EXPORTS[name] for name in named),
            tuple(map(Format, _named("COSTMETER_EXPORT_FORMATS", formats, [form.value for form in Format]))),
        )


def write_last_month(engine: Engine, to: ExportFolder, now: datetime) -> Done:
    """Write the files of the month before this one (of UTC), for each currency that there are accounts in.

    A file is left alone while its manifest names the content that there is, and replaced whole where that changed.
    """
    month = f"{now.replace(day=1) - timedelta(days=1):%Y-%m}"
    to.folder.mkdir(parents=True, exist_ok=True)
    written = 0
    with reading(engine) as connection:
        for currency in sorted({account.currency for account in accounts.listed(connection)}):
            scope = Scope.checked(month=month, currency=currency)
            written += sum(_write(connection, to, export, scope) for export in to.exports)
    return Done(f"wrote {written:,} files of {month}" if written else f"every file of {month} was there already")


def _write(connection: Connection, to: ExportFolder, export: Export, scope: Scope) -> int:
    """Write what is not there yet of one kind; returns how many files."""
    stem = f"{export.name}-{scope.month}-{scope.currency}"
    paths = {to.folder / f"{stem}.{form}": form for form in to.formats}
    digest = _digest(connection, export, scope)
    old = {path: form for path, form in paths.items() if not _holds(path, digest)}
    for path, form in old.items():
        write_export(connection, export, scope, path, form=form)
    return len(old)


def _digest(connection: Connection, export: Export, scope: Scope) -> str:
    """The digest of what there is to write."""
    content = Content(connection, export, scope)
    deque(content.blocks(), maxlen=0)
    return content.sha256


def _holds(path: Path, digest: str) -> bool:
    """Whether a file is there with a manifest of this content, in the present version of the formats."""
    try:
        said: dict[str, Any] = json.loads(manifest_path(path).read_bytes())
    except (OSError, ValueError):
        return False
    told = (said.get("content_sha256"), said.get("format_version"))
    return told == (digest, VERSION) and path.exists() and path.stat().st_size == said.get("bytes")


def _named(setting: str, text: str, known: Sequence[str] | dict[str, Any]) -> list[str]:
    """The names in a setting, each of which must be known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise InputError(setting, name, f"use any of {', '.join(known)}, with commas between them")
    return names
