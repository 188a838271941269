"""A statement as CSV, made from its JSON alone."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, TextIO

from costmeter.core.money import format_amount, parse_total, round_amount
from costmeter.core.statements import DECIMALS
from costmeter.store.texts import guarded

COLUMNS = (
    "section", "item", "detail", "calls", "quantity", "granted", "topped_up", "overdraft", "untracked", "amount",
    "rounded", "currency",
)  # fmt: skip


def write_statement_csv(shape: dict[str, Any], out: TextIO) -> None:
    """A statement as RFC 4180 CSV: a section after the other, exact amounts and a rounded column."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in _rows(shape):
        amount = row.get("amount")
        more = {"currency": shape["currency"]} if amount is not None else {}
        if amount is not None:
            more["rounded"] = _rounded(amount)
        writer.writerow([_cell(name, (row | more).get(name)) for name in COLUMNS])


def _rows(shape: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from _about(shape)
    yield {"section": "opening balance", **_balance(shape["opening"])}
    for row in shape["movements"]:
        yield {"section": "movement", "item": row["kind"], "detail": row["text"], **_balance(row)}
    yield {"section": "closing balance", **_balance(shape["closing_balance"])}
    yield {"section": "rounding", "item": "balance", "amount": shape["rounding"]["difference"]}
    for row in shape["credits"]:
        detail = f"{row['origin']} of {row['effective_at']}" + (f": {row['reason']}" if row["reason"] else "")
        item = row["reference"] or row["kind"]
        yield {"section": "credit", "item": item, "detail": detail, row["kind"]: row["amount"], "amount": row["amount"]}
    for row in shape["usage"]:
        band = row["band"] or "unpriced"
        yield {
            "section": "usage",
            "item": row["model"],
            "detail": band,
            "calls": row["calls"],
            "amount": row["cost"],
        }
        for line in row["lines"]:
            detail = f"{band} {line['meter']}"
            said = {"quantity": line["quantity"], "amount": line["amount"]}
            yield {"section": "meter", "item": row["model"], "detail": detail, **said}
    yield {"section": "rounding", "item": "usage", "amount": shape["usage_rounding"]["difference"]}
    yield {"section": "deductions", **_paid(shape["deductions"])}
    yield from _later_rows(shape)


def _later_rows(shape: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in shape["expiries"]:
        yield {
            "section": "expiry",
            "item": row["reference"] or row["credit_id"],
            "detail": row["expired_at"],
            "amount": row["amount"],
        }
    for row in shape["adjustments"]:
        yield {"section": "adjustment", "item": row["month"], "detail": row["model"], **_paid(row)}
    for name, rows in shape["showback"].items():
        for row in rows:
            yield {"section": name, "item": row["name"] or "", **_paid(row)}
    for row in shape["imported"]:
        detail = row["meter"] + (f" at {row['price']}" if row["price"] else "")
        said = {"quantity": row["quantity"], "amount": row["amount"]}
        yield {"section": "imported usage", "item": row["model"], "detail": detail, **said}
    for row in shape["imported_costs"]:
        yield {"section": "imported cost", "item": row["model"], "detail": row["wallet"], "amount": row["cost"]}
    for name, count in shape["counts"].items():
        yield {"section": "count", "item": name, "quantity": count}


def _about(shape: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("account", "month", "timezone", "from", "to", "state", "as_of"):
        yield {"section": "statement", "item": name, "detail": shape[name]}
    closing = shape["closing"]
    for name in ("closed_at", "by", "sha256", "previous_sha256", "statement_sha256") if closing else ():
        yield {"section": "closing", "item": name, "detail": closing[name]}
    if closing and closing["override"]:
        yield {"section": "closing", "item": "override", "detail": closing["override"]["reason"]}
        for blocker in closing["override"]["blockers"]:
            yield {"section": "closing", "item": "overridden", "detail": blocker}


def _balance(row: dict[str, Any]) -> dict[str, Any]:
    return {"granted": row["granted"], "topped_up": row["topped_up"], "amount": row["total"]}


def _paid(row: dict[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {
        name: row[name] for name in ("calls", "granted", "topped_up", "overdraft", "untracked") if name in row
    }
    return {**parts, "amount": row["cost"]}


def _rounded(amount: str) -> str:
    return format_amount(round_amount(parse_total(amount), DECIMALS))


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    return guarded(str(value)) if name in ("item", "detail") else str(value)
