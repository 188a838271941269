"""The tables of a statement's page: what of a statement's JSON stands in which row and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from costmeter.exports.page_table import UNKNOWN, Kind, PageTable, Row, Value, added, clock, isolated, rounded

Shape = Mapping[str, Any]

METERS = {"input.cache_hit": "Cache hits", "input.cache_miss": "Cache misses", "output": "Output"}
KINDS = {"granted": "granted", "topped_up": "topped up"}
PARTS = {"granted": "Granted", "topped_up": "Topped up", "overdraft": "Overdraft", "untracked": "Untracked"}
PAID = {
    "granted": "Granted credits",
    "topped_up": "Topped-up credits",
    "overdraft": "Overdraft: covered by nothing when it was booked",
    "untracked": "Untracked: from before the account had a balance",
}
COUNTS = {
    "failed": "failed: not charged",
    "unmetered": "unmetered: usage unknown, and DeepSeek may have charged for it",
    "unpriced": "unpriced: counted, cost unknown and not in the sums",
    "provisional": "provisional: in the sums, but a holiday calendar is not published yet",
    "quarantined": "in quarantine: not usable as sent, not counted",
    "unposted": "not posted yet, not counted",
}
LESSONS = 20  # rows of savings on a page; the statement's JSON has all of them
NO_NAME = "(none)"
SHARES = "Cache hits are told as their share of the input, reasoning as its share of the output."
MISSED = "Off-peak missed is what the same calls would have cost less in the cheapest band of their own tariffs."


def balance_table(shape: Shape) -> PageTable:
    """From the opening to the closing balance, movement by movement."""
    columns = [("Movement", Kind.TEXT), *_amounts("Granted", "Topped up", "Total"), _rounded(shape)]
    lines = [("Balance at the beginning", shape["opening"])]
    lines += [(movement["text"], movement) for movement in shape["movements"]]
    notes = [rounding_note(shape["rounding"])]
    if Decimal(shape["closing_balance"]["topped_up"]) < 0:
        notes.append("Overdraft makes the topped-up balance negative; the next top-up repays it.")
    total = _balance("Balance at the end", shape["closing_balance"])
    return PageTable("Balance", columns, [_balance(text, of) for text, of in lines], total, notes)


def usage_table(shape: Shape) -> PageTable:
    """What each model used in each band, meter by meter."""
    counts = [("Calls", Kind.COUNT), ("Quantity", Kind.COUNT)]
    columns = [*_texts("Model and meter", "Band"), *counts, *_amounts("Cost"), _rounded(shape)]
    rows = []
    for one in shape["usage"]:
        cost = _known(one["cost"])
        rows.append(Row([one["model"], one["band"], one["calls"], None, cost, cost], "group"))
        for line in one["lines"]:
            meter = METERS.get(line["meter"], line["meter"])
            rows.append(Row([meter, None, None, line["quantity"], _known(line["amount"]), None], "part"))
    cost, calls = shape["deductions"]["cost"], sum(one["calls"] for one in shape["usage"])
    total = Row(["Usage of the month", None, calls, None, cost, cost])
    notes = [rounding_note(shape["usage_rounding"])] if "usage_rounding" in shape else []
    return PageTable("Usage by model, band and meter", columns, rows, total, notes)


def paid_table(shape: Shape) -> PageTable:
    """What paid for the month's usage."""
    columns = [("Paid from", Kind.TEXT), *_amounts("Amount"), _rounded(shape)]
    paid = shape["deductions"]
    rows = [Row([text, paid[name], paid[name]]) for name, text in PAID.items()]
    return PageTable("How the usage was paid", columns, rows, Row(["Cost of the usage", paid["cost"], paid["cost"]]))


def credits_table(shape: Shape) -> PageTable:
    """Credits of the month, with what was decided by hand and why."""
    columns = [
        *_texts("Booked (UTC)", "Credit", "Effective (UTC)", "Expires (UTC)"),
        *_amounts("Amount"),
        _rounded(shape),
    ]
    rows = [
        Row([clock(one["at"]), _about(one), clock(one["effective_at"]), clock(one["expires_at"]) or "never",
             one["amount"], one["amount"]])
        for one in shape["credits"]
    ]  # fmt: skip
    return PageTable("Credits", columns, rows)


def expiries_table(shape: Shape) -> PageTable:
    """What grants still held when they ended."""
    columns = [*_texts("Expired (UTC)", "Reference"), ("Credit", Kind.COUNT), *_amounts("Amount"), _rounded(shape)]
    rows = [
        Row([clock(one["expired_at"]), one["reference"], one["credit_id"], one["amount"], one["amount"]])
        for one in shape["expiries"]
    ]
    return PageTable("Grants that expired", columns, rows)


def adjustments_table(shape: Shape) -> PageTable:
    """What was booked in this month for months that were closed before."""
    named = [([one["month"], one["model"]], one) for one in shape["adjustments"]]
    return _charged("Adjustments of earlier, closed months", ("Closed month", "Model"), named, shape)


def showback_tables(shape: Shape) -> list[PageTable]:
    """Who caused the usage: by project, and by API key."""
    found = shape["showback"]
    captions = (("project", "Usage by project", "Project"), ("api_key", "Usage by API key", "API key"))
    return [
        _charged(caption, (heading,), [([one["name"] or NO_NAME], one) for one in found[key]], shape)
        for key, caption, heading in captions
        if found[key]
    ]


def imported_table(shape: Shape) -> PageTable:
    """History from the vendor's console."""
    columns = [*_texts("Model", "Meter"), *_amounts("Price"), ("Quantity", Kind.COUNT), *_amounts("Amount")]
    rows = [
        Row([one["model"], METERS.get(one["meter"], one["meter"]), one["price"], one["quantity"],
             one["amount"], one["amount"]])
        for one in shape["imported"]
    ]  # fmt: skip
    note = "Sums of the month as DeepSeek's console tells them, not single calls, and no part of the figures above."
    return PageTable("History from the console", [*columns, _rounded(shape)], rows, None, [note])


def savings_table(shape: Shape) -> PageTable:
    """What projects and models saved and could have saved: those that cost the most."""
    taught = shape["lessons"]
    measures = _amounts("Cost", "Cache hits", "Cache savings", "Off-peak savings", "Off-peak missed", "Reasoning")
    by_cost = sorted(taught["rows"], key=lambda row: -Decimal(row["cost"]))
    rows = [Row([row["project"] or NO_NAME, row["model"], *_taught(row)]) for row in by_cost[:LESSONS]]
    notes = [SHARES, MISSED]
    if len(by_cost) > LESSONS:
        notes.append(f"Shown are the {LESSONS} that cost the most of {len(by_cost)}; the total is that of all.")
    total = Row(["Total", None, *_taught(taught["totals"])])
    return PageTable("What the month teaches", [*_texts("Project", "Model"), *measures], rows, total, notes)


def movers_tables(shape: Shape) -> list[PageTable]:
    """What changed the most against the month before, by project and by model."""
    taught = shape["lessons"]
    before, now = taught["month_before"], taught["month"]
    columns = [*_amounts(before, now, "Change", "Percent"), ("New or gone", Kind.TEXT)]
    tables = []
    for key, heading in (("project", "Project"), ("model", "Model")):
        movers = (taught["movers"] or {}).get(key)
        if movers:
            caption = f"Moved most against {before}, by {heading.lower()}"
            tables.append(PageTable(caption, [(heading, Kind.TEXT), *columns], [_moved(one) for one in movers]))
    return tables


def rounding_note(rounding: Shape) -> str:
    """What rounding each row by itself does to the sum of the column."""
    decimals = rounding["decimals"]
    total, sum_of_rows, difference = (
        rounded(rounding[name], decimals) for name in ("rounded_total", "sum_of_rounded", "difference")
    )
    return (
        f"Rounding: each row by itself to {decimals} decimals, half to even. The rounded rows add up to {sum_of_rows}, "
        f"the rounded total is {total}, the difference {difference}."
    )


def _charged(
    caption: str, headings: Sequence[str], named: Sequence[tuple[list[str], Shape]], shape: Shape
) -> PageTable:
    """Rows of calls, their cost and what paid it; a part that is 0 in all of them has no column."""
    found = [one for _, one in named]
    parts = [name for name in PARTS if name in KINDS or any(Decimal(one[name]) for one in found)]
    costs = [*_amounts("Cost"), _rounded(shape), *_amounts(*(PARTS[name] for name in parts))]
    sums: dict[str, Any] = {name: added([one[name] for one in found]) for name in ("cost", *parts)}
    sums["calls"] = sum(one["calls"] for one in found)
    total = Row(["Total", *[None] * (len(headings) - 1), *_paid(sums, parts)])
    rows = [Row([*names, *_paid(one, parts)]) for names, one in named]
    return PageTable(caption, [*_texts(*headings), ("Calls", Kind.COUNT), *costs], rows, total)


def _paid(one: Shape, parts: Sequence[str]) -> list[Value]:
    return [one["calls"], one["cost"], one["cost"], *(one[name] for name in parts)]


def _balance(text: str, of: Shape) -> Row:
    return Row([text, of["granted"], of["topped_up"], of["total"], of["total"]])


def _taught(row: Shape) -> list[Value]:
    hits, reasoning = (f"{row[name]} %" if row[name] else None for name in ("cache_hit_percent", "reasoning_percent"))
    return [row["cost"], hits, row["cache_savings"], row["off_peak_savings"], row["off_peak_missed"], reasoning]


def _moved(mover: Shape) -> Row:
    state = None if mover["state"] == "changed" else mover["state"]
    percent = f"{mover['change_percent']} %" if mover["change_percent"] else None
    return Row([mover["name"] or NO_NAME, mover["before"], mover["now"], mover["change"], percent, state])


def _about(credit: Shape) -> str:
    """A credit's kind and reference, where it comes from, and who decided what about it and why."""
    origin = {"opening": "opening balance", "correction": "correction"}.get(credit["origin"])
    said = ", ".join(filter(None, [KINDS.get(credit["kind"], credit["kind"]), origin, isolated(credit["reference"])]))
    decided = "voided" if credit["voided"] else None
    who = f"by {isolated(credit['by'])}" if credit["by"] else None
    why = f"({isolated(credit['reason'])})" if credit["reason"] else None
    return "; ".join(filter(None, [said, " ".join(filter(None, [decided, who, why]))]))


def _known(amount: str | None) -> str:
    return UNKNOWN if amount is None else amount


def _texts(*headings: str) -> list[tuple[str, Kind]]:
    return [(heading, Kind.TEXT) for heading in headings]


def _amounts(*headings: str) -> list[tuple[str, Kind]]:
    return [(heading, Kind.AMOUNT) for heading in headings]


def _rounded(shape: Shape) -> tuple[str, Kind]:
    return (f"Rounded, {shape['currency']}", Kind.ROUNDED)
