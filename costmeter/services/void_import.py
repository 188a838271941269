"""Void an import: take it back, so that its rows count no more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.errors import ConflictError, NotFoundError
from costmeter.core.periods import format_instant
from costmeter.core.texts import check_said
from costmeter.store import accounts, audit, imported
from costmeter.store.engine import in_transaction
from costmeter.store.imported import ImportedFile, ImportVoid


def void_import(engine: Engine, account: str, name: str, *, by: str, reason: str, now: datetime) -> ImportedFile:
    """The import of that name (as the list shows it) with its void; its rows stay, and can be imported again.

    NotFoundError where there is none, ConflictError where it was voided before.
    """
    void = ImportVoid(now, check_said(by, "by"), check_said(reason, "reason"))

    def take_back(connection: Connection) -> ImportedFile:
        owner = accounts.lock(connection, accounts.get(connection, account).account).account
        file = next((one for one in imported.files(connection, owner) if one.import_id.hex() == name), None)
        if file is None:
            raise NotFoundError(f"no import {name!r} of account {owner!r}; see: costmeter import list")
        if file.void is not None:
            remedy = f"was voided at {format_instant(file.void.voided_at)} by {file.void.by_whom}: {file.void.reason}"
            raise ConflictError("import", name, remedy)
        imported.add_void(connection, owner, file.import_id, void)
        change = {"file": file.name, "sha256": file.sha256}
        audit.add(connection, "import.void", name, change, by=void.by_whom, at=now, account=owner, reason=void.reason)
        return file._replace(void=void)

    return in_transaction(engine, take_back)
