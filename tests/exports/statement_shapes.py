"""Statements as their JSON has them, whose figures add up: small, empty, closed by an override, large, and hostile.

Nothing here is random. Amounts are written by the money of the core from whole units, so that each has its digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from costmeter.core.money import UNITS, format_amount, parse_amount, round_amount

MICRO = UNITS // 1_000_000
PARTS = ("granted", "topped_up", "overdraft", "untracked")
HOSTILE = (
    '<script>alert("x")</script>',
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u202c",
    "مشروع البحث",
    "https://evil.example/a.css",
    "</style><style>@import url(//evil.example)</style>",
    "=HYPERLINK(1)",
    "a" * 200,
)
CJK = ("搜索与推荐", "検索プロジェクト", "검색 프로젝트", "客服机器人·华东")


def pair(granted: int, topped_up: int) -> dict[str, str]:
    amounts = {"granted": granted, "topped_up": topped_up, "total": granted + topped_up}
    return {name: format_amount(amount) for name, amount in amounts.items()}


def charged(calls: int, cost: int, *, granted: int = 0, overdraft: int = 0, untracked: int = 0) -> dict[str, Any]:
    parts = dict(zip(PARTS, (granted, cost - granted - overdraft - untracked, overdraft, untracked), strict=True))
    return {"calls": calls, "cost": format_amount(cost)} | {name: format_amount(part) for name, part in parts.items()}


def rounding(exact: int, column: Sequence[int]) -> dict[str, Any]:
    total, added = round_amount(exact, 2), sum(round_amount(amount, 2) for amount in column)
    amounts = {"exact_total": exact, "rounded_total": total, "sum_of_rounded": added, "difference": total - added}
    return {"decimals": 2} | {name: format_amount(amount) for name, amount in amounts.items()}


def used(model: str, band: str | None, calls: int, hits: int, misses: int, outputs: int, rates: str) -> dict[str, Any]:
    """A row of usage at rates a million, such as "0.003 0.15 0.60"."""
    meters = ("input.cache_hit", "input.cache_miss", "output")
    costs = [
        quantity * parse_amount(rate) // 1_000_000
        for quantity, rate in zip((hits, misses, outputs), rates.split(), strict=True)
    ]
    lines = [
        {"meter": meter, "quantity": quantity, "amount": format_amount(cost)}
        for meter, quantity, cost in zip(meters, (hits, misses, outputs), costs, strict=True)
    ]
    return {"model": model, "band": band, "calls": calls, "lines": lines, "cost": format_amount(sum(costs))}


def small() -> dict[str, Any]:
    """An open month of one account with a bit of everything; an overdraft at its end."""
    usage = [
        used("deepseek-flash", "off_peak", 12_345, 812_345_678, 91_234_567, 45_678_901, "0.003 0.15 0.60"),
        used("deepseek-flash", "peak", 8_765, 512_345_679, 61_234_568, 35_678_903, "0.006 0.30 1.20"),
        used("deepseek-v4-pro", "off_peak", 321, 1_234_567, 2_345_678, 3_456_789, "0.022 0.66 1.98"),
        used("deepseek-v4-pro", "peak", 123, 234_567, 1_345_678, 2_456_781, "0.044 1.32 3.96"),
    ]
    costs = [parse_amount(row["cost"]) for row in usage]
    cost, calls = sum(costs), sum(row["calls"] for row in usage)
    granted, overdraft = parse_amount("12.50"), parse_amount("3.214567890125")
    spent = charged(calls, cost, granted=granted, overdraft=overdraft)
    opening = (parse_amount("10.00"), parse_amount("45.5000004"))
    paid = cost - granted - overdraft
    added, late = parse_amount("40.00"), parse_amount("0.00012345")
    moves = [
        ("credit", "Credits added", parse_amount("5.00"), added),
        ("void", "Credits voided", parse_amount("-1.50"), 0),
        ("correction", "Corrections", 0, paid - opening[1] - added + late),
        ("usage", "Usage of the month", -granted, -paid - overdraft),
        ("adjustment", "Adjustments of earlier months", 0, -late),
        ("expiry", "Grants expired", parse_amount("-1.00"), 0),
    ]
    closing = (opening[0] + sum(move[2] for move in moves), opening[1] + sum(move[3] for move in moves))
    assert closing == (0, -overdraft)
    projects = [
        {"name": "search", **charged(15_000, cost // 2, granted=granted)},
        {"name": None, **charged(calls - 15_000, cost - cost // 2, overdraft=overdraft)},
    ]
    shape: dict[str, Any] = {
        "format": 1,
        "account": "default",
        "month": "2026-11",
        "currency": "USD",
        "timezone": "UTC",
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-12-01T00:00:00Z",
        "state": "open",
        "as_of": "2026-11-26T08:15:30Z",
        "closing": None,
        "opening": pair(*opening),
        "movements": [{"kind": kind, "text": text, **pair(*amounts)} for kind, text, *amounts in moves],
        "closing_balance": pair(*closing),
        "credits": [
            a_credit("2026-11-02T09:00:00Z", "granted", "5.00", reference="welcome", expires_at="2026-12-31T00:00:00Z"),
            a_credit("2026-11-03T09:30:00Z", "topped_up", "40.00", reference="invoice-17"),
            a_credit(
                "2026-11-05T10:00:00Z", "topped_up", moves[2][3], origin="correction", by="mira",
                reason="the console shows less",
            ),
            a_credit("2026-11-02T08:00:00Z", "granted", "1.50", voided=True, by="mira", reason="granted twice"),
        ],
        "usage": usage,
        "deductions": {name: spent[name] for name in ("cost", *PARTS)},
        "expiries": [
            {"reference": "spring", "credit_id": 7, "amount": "1.00", "expired_at": "2026-11-15T00:00:00.000001Z"}
        ],
        "adjustments": [{"month": "2026-10", "model": "deepseek-flash", **charged(3, late)}],
        "showback": {"project": projects, "api_key": [{"name": "backend-prod", **spent}]},
        "imported": [
            {"model": "deepseek-flash", "meter": "output", "price": "0.60", "quantity": 123_456,
             "amount": "0.0740736"},
        ],
        "counts": {
            "calls": calls, "failed": 12, "unmetered": 1, "unpriced": 0, "provisional": 0, "quarantined": 2,
            "unposted": 0,
        },
        "lessons": lessons(),
        "rounding": rounding(sum(closing), [sum(opening), *(move[2] + move[3] for move in moves)]),
        "usage_rounding": rounding(cost, costs),
    }  # fmt: skip
    return shape


def a_credit(at: str, kind: str, amount: str | int, **more: Any) -> dict[str, Any]:
    text = amount if isinstance(amount, str) else format_amount(amount)
    return {
        "at": at, "kind": kind, "amount": text, "effective_at": at, "expires_at": None, "reference": None,
        "origin": "credit", "voided": False, "by": None, "reason": None,
    } | more  # fmt: skip


def taught(**of: str) -> dict[str, Any]:
    """What is told of calls; without a text it is nothing."""
    zero = {"cost": "0.00", "cache_savings": "0.00", "off_peak_savings": "0.00", "off_peak_missed": "0.00"}
    counts = dict.fromkeys(
        ("calls", "unpriced", "cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens"), 0
    )
    return counts | zero | {"cache_hit_percent": None, "reasoning_percent": None} | of


def lessons() -> dict[str, Any]:
    of_search = taught(
        cost="61.102233445", cache_savings="170.654321", off_peak_savings="41.0908642", off_peak_missed="40.00123",
        cache_hit_percent="89.68", reasoning_percent="45.10",
    )  # fmt: skip
    of_rest = taught(cost="17.00", cache_hit_percent="0.00", reasoning_percent="72.00")
    return {
        "account": "default",
        "month": "2026-11",
        "month_before": "2026-10",
        "currency": "USD",
        "rows": [
            {"project": "search", "model": "deepseek-flash", **of_search},
            {"project": None, "model": "deepseek-v4-pro", **of_rest},
        ],
        "totals": of_search | {"cost": "78.102233445", "cache_hit_percent": "88.88"},
        "movers": {
            "project": [
                a_mover("search", "12.00", "61.102233445", "49.102233445", "409.19"),
                a_mover(None, "0.00", "17.00", "17.00", None, "new"),
                a_mover("chat", "4.25", "0.00", "-4.25", "-100.00", "gone"),
            ],
            "model": [a_mover("deepseek-flash", "16.25", "61.102233445", "44.852233445", "276.01")],
        },
    }


def a_mover(
    name: str | None, before: str, now: str, change: str, percent: str | None, state: str = "changed"
) -> dict[str, Any]:
    return {
        "name": name, "before": before, "now": now, "change": change, "change_percent": percent, "state": state,
    }  # fmt: skip


def empty() -> dict[str, Any]:
    """A month in which nothing was."""
    zero = pair(0, 0)
    nothing: dict[str, Any] = {name: [] for name in ("movements", "credits", "usage", "expiries", "adjustments")}
    return small() | nothing | {
        "opening": zero,
        "closing_balance": zero,
        "deductions": dict.fromkeys(("cost", *PARTS), "0.00"),
        "showback": {"project": [], "api_key": []},
        "imported": [],
        "counts": dict.fromkeys(small()["counts"], 0),
        "lessons": None,
        "rounding": rounding(0, []),
        "usage_rounding": rounding(0, []),
    }  # fmt: skip


def closed() -> dict[str, Any]:
    """The small one, closed against what stood in its way."""
    override = {"by": "mira", "reason": "the calendar of 2027 is late", "blockers": ["2 calls are provisional"]}
    return small() | {
        "state": "closed",
        "closing": {
            "closed_at": "2026-12-04T09:00:00Z", "by": "mira", "sha256": "0f" * 32, "previous_sha256": "a7" * 32,
            "statement_sha256": "3c" * 32, "editions": ["e1" * 32, "e2" * 32],
            "first_seq": 18_204, "last_seq": 39_767, "override": override,
        },
    }  # fmt: skip


def large(projects: int = 300) -> dict[str, Any]:
    """A closed month of so many projects with long and Chinese, Japanese and Korean names, all amounts long."""
    rows = []
    for number in range(projects):
        name = (
            f"{CJK[number % 4]}-{number}" if number % 3 == 0 else f"team-{number:03}/" + "recommendation-service-" * 3
        )
        cost = 1_234_567 * UNITS + 987_654_321 * (number + 1)
        parts = {
            "granted": 3 * UNITS + number * MICRO + 1,
            "overdraft": 7 * MICRO + number + 1,
            "untracked": number + 1,
        }
        rows.append({"name": name, **charged(1_000_000 + number, cost, **parts)})
    summed = {name: sum(parse_amount(row[name]) for row in rows) for name in ("cost", *PARTS)}
    usage = [used("deepseek-flash", "peak", sum(row["calls"] for row in rows), 1, 2, 3, "0.006 0.30 1.20")]
    usage[0]["cost"] = format_amount(summed["cost"])
    return closed() | {
        "account": "搜索-team",
        "currency": "CNY",
        "timezone": "Asia/Shanghai",
        "usage": usage,
        "usage_rounding": rounding(summed["cost"], [summed["cost"]]),
        "deductions": {name: format_amount(amount) for name, amount in summed.items()},
        "showback": {"project": rows, "api_key": rows[:7]},
    }


def hostile() -> dict[str, Any]:
    """Every text that somebody chose is one that wants to be more than a text."""
    shape = closed()
    names = [{"name": name, **charged(1, MICRO)} for name in HOSTILE]
    shape["account"] = HOSTILE[0]
    shape["showback"] = {"project": names, "api_key": names}
    shape["credits"] = [
        a_credit("2026-11-02T09:00:00Z", "granted", "5.00", reference=text, by=text, reason=text) for text in HOSTILE
    ]
    shape["usage"] = [used(text, text, 1, 1, 2, 3, "1 1 1") for text in HOSTILE]
    shape["imported"] = [
        {"model": text, "meter": text, "price": None, "quantity": 1, "amount": "0.01"} for text in HOSTILE
    ]
    shape["closing"] |= {"by": HOSTILE[1], "override": {"by": HOSTILE[0], "reason": HOSTILE[1], "blockers": [*HOSTILE]}}
    shape["lessons"]["rows"] = [{"project": text, "model": text, **taught(cost="0.01")} for text in HOSTILE]
    return shape
