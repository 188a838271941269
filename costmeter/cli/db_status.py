"""`costmeter db status`: what is in the database, and how large it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from costmeter.cli.database import snapshot
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.reports.database import database_report
from costmeter.store import sizes


def status(as_json: AsJson = False) -> None:
    """Show schema, engine, tables with rows and bytes, partitions, indexes with the query each serves, and Citus.

    Rows are an estimate on PostgreSQL (of its last ANALYZE) and counted on SQLite.
    """
    with snapshot() as connection:
        found = database_report(connection, datetime.now(UTC))
        found["tables"] = [
            {**size._asdict(), "indexes": [use._asdict() for use in size.indexes]}
            for size in sizes.of_tables(connection)
        ]
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    print_line(f"schema {found['schema']} on {found['engine']} {found['version']}, {found['bytes']:,} bytes")
    if found["months_ahead"] is not None:
        ahead = f"months made ahead: {found['months_ahead']}"
        print_line(f"{ahead}; rows that no month holds: {found['rows_in_default']:,}")
        print_line(f"months detached: {', '.join(found['months_detached']) or 'none'}")
        print_line(f"Citus: {found['citus'] or 'not installed'}")
    sides = {"table": "left", "rows": "right", "bytes": "right", "distributed": "left"}
    rows = [(t["table"], f"{t['rows']:,}", _bytes(t["bytes"]), t["distributed"] or "") for t in found["tables"]]
    print_table(sides, rows)
    if found["partitions"]:
        sides = {"partition": "left", "from": "left", "to": "left", "rows": "right", "bytes": "right", "": "left"}
        print_table(sides, [_row(part) for part in found["partitions"]])
    uses = [(use["name"], use["serves"]) for table in found["tables"] for use in table["indexes"]]
    print_table({"index": "left", "serves": "left"}, uses)


def _row(part: dict[str, Any]) -> tuple[str, ...]:
    kind = "" if part["is_attached"] else "detached"
    figures = (f"{part['rows']:,}", _bytes(part["bytes"]))
    return (part["name"], part["from"] or "what no month", part["to"] or "holds", *figures, kind)


def _bytes(size: int | None) -> str:
    return "" if size is None else f"{size:,}"
