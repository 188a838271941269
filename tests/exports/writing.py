"""Exports as a test reads them: by column, and as plain CSV files for the tools that judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from costmeter.core.periods import parse_instant
from costmeter.exports.content import Content
from costmeter.exports.export import Export
from costmeter.store import accounts
from costmeter.store.balances import balance_at
from costmeter.store.engine import reading
from costmeter.store.scope import Scope


def exported(engine: Engine, export: Export, scope: Scope) -> list[dict[str, Any]]:
    """The rows by column, as the export gives them."""
    names = [column.name for column in export.columns]
    with reading(engine) as connection:
        return [dict(zip(names, row, strict=True)) for row in export.rows(connection, scope)]


def as_csv(engine: Engine, export: Export, scope: Scope) -> str:
    """The file as it is written without a guard: its canonical rendition."""
    with reading(engine) as connection:
        content = Content(connection, export, scope)
        return b"".join([content.header, *content.blocks()]).decode()


def csv_file(path: Path, engine: Engine, export: Export, scope: Scope) -> Path:
    path.write_text(as_csv(engine, export, scope), encoding="utf-8", newline="")
    return path


def balances_at(engine: Engine, account: str, when: str) -> tuple[int, int]:
    """The granted and the topped-up balance, overdraft taken off it, as `costmeter balance` has them."""
    with reading(engine) as connection:
        found = balance_at(connection, accounts.get(connection, account), parse_instant(when))
    return found.granted, found.topped_up
