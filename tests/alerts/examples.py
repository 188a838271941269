"""A notice of every kind, with the facts that whoever raises it gives it."""

from __future__ import annotations

from typing import Any

from costmeter.core.notice_kinds import KINDS
from costmeter.core.notices import DIGEST, RAISED, RECOVERED, TEST, Message, Notice, Spend, compose
from tests.alerts.messages import FACTS, NOTICE_ID, NOW, SPEND
from tests.make import at

_TOKENS = {"unit": "tokens", "spent": "812345678", "amount": "1000000000", "timezone": "America/New_York"}
_FORECAST = {"forecast": "611.20", "low": "560.00", "high": "690.50", "threshold": "forecast 100%"}
_LOW = {"currency": "USD", "balance": "4.20", "granted": "1.20", "topped_up": "3.00"}
_RATE = {"before": "chat/1", "band": "peak", "meter": "input.cache_hit", "per": 1_000_000, "old": "0.07", "new": "0.14"}
_NEW = {"before": "chat/1", "band": "peak", "meter": "output", "per": 1_000_000, "old": None, "new": "2.20"}
_GRANT = {"credit": 3, "currency": "CNY", "left": "12.50", "expires_at": "2025-03-26T00:00:00Z", "reference": "welcome"}
_PRICES = {"from": "2025-03-25T16:00:00Z", "models": ["deepseek-chat"], "currency": "USD"}
_OFF = {"differences": 1, "currency": "USD", "observation": 7, "observed_at": NOW, "difference": "-0.31"}
_JOB = {"job": "verify", "finished_at": NOW, "scheduled_for": NOW}
_STOPS = {"spent": "500.00", "threshold": "100%", "stops": True, "filters": {"tag:team": "a"}}
_ODD = {"what": "x\ny", "count": 3, "is_odd": True, "parts": ["a", "b"], "of": {"a": 1}, "none": None}
_DIGEST: dict[str, Any] = {
    "digest": "weekly", "name": "2025-W11", "account": "default", "accounts": 1, "currency": "USD",
    "from": "2025-03-09T16:00:00Z", "to": "2025-03-16T16:00:00Z", "timezone": "Asia/Shanghai",
    "spend": {"calls": 12_345, "cost": "81.250000004507", "cache_savings": "12.00", "off_peak_savings": "0.40",
              "before": "65.00", "change": "16.250000004507", "change_percent": "25.00"},
    "by_project": {"top": [{"name": "search", "cost": "70.00", "percent": "86.15"},
                           {"name": None, "cost": "11.250000004507", "percent": "13.85"}],
                   "others": {"count": 2, "cost": "0.00"}},
    "by_model": {"top": [{"name": "deepseek-chat", "cost": "81.250000004507", "percent": "100.00"}],
                 "others": {"count": 0, "cost": "0.00"}},
    "by_band": {"top": [], "others": {"count": 0, "cost": "0.00"}},
    "doubts": {"failed": 12, "unmetered": 3, "unpriced": 0, "provisional": 0, "quarantined": 0, "unposted": 0},
    "forecast": {"forecast": {"amount": "310.00", "low": "280.00", "high": "350.00"}, "reason": None},
    "runway": {"total": {"balance": "41.75", "days": 9, "runs_out_on": "2025-03-28"}},
    "budgets": [
        {"budget": "all", "per": "month", "unit": "USD", "amount": "100.00", "spent": "81.25", "used_percent": "81.2"},
        {"budget": "burst", "per": "5h", "unit": "tokens", "amount": "2000000", "spent": "1500", "used_percent": "0.0"},
    ],
    "days": {"from": "2025-02-15", "to": "2025-03-17", "models": ["deepseek-chat"], "rows": [
        {"day": "2025-03-15", "model": "deepseek-chat", "cost": "10.00"},
        {"day": "2025-03-16", "model": None, "cost": "2.50"},
    ]},
}  # fmt: skip

EXAMPLES: list[tuple[str, str, dict[str, Any], str]] = [  # kind, event, facts, account
    ("budget", RAISED, FACTS, "default"),
    ("budget", RECOVERED, FACTS | {"spent": "399.999"}, "default"),
    ("budget", RAISED, FACTS | {"is_late": True, "threshold": "400.00", "filters": {}}, "default"),
    ("budget", RAISED, FACTS | _STOPS, "default"),
    ("budget", RAISED, FACTS | _TOKENS | {"per": "14d"}, "asia"),
    ("budget", RAISED, FACTS | {"spent": "0.000812", "amount": "0.001", "per": "all", "to": None}, "default"),
    ("forecast", RAISED, FACTS | _FORECAST, "default"),
    ("forecast", RECOVERED, FACTS | _FORECAST | {"forecast": "480.00"}, "default"),
    ("low_balance", RAISED, _LOW, "default"),
    ("low_balance", RAISED, _LOW | {"days_left": "2.1", "spent": "14.00", "of_days": 7}, "default"),
    ("low_balance", RAISED, _LOW | {"balance": "-0.80", "granted": "0.00", "topped_up": "-0.80"}, "default"),
    ("low_balance", RECOVERED, _LOW | {"balance": "104.20"}, "default"),
    ("expiring_grant", RAISED, _GRANT, "default"),
    ("expiring_grant", RECOVERED, _GRANT | {"reference": None}, "default"),
    ("no_data", RAISED, {"last_call": "2025-03-18T06:00:00Z"}, "default"),
    ("no_data", RECOVERED, {"last_call": "2025-03-19T07:00:00Z"}, "default"),
    ("price_change", RAISED, _PRICES | {"after": "chat/2", "rates": [_RATE, _NEW]}, "default"),
    ("price_change", RAISED, _PRICES | {"after": None, "rates": [_RATE | {"new": None}]}, "default"),
    ("price_change", RAISED, _PRICES | {"after": "v4", "rates": [_RATE, _RATE | {"before": "r1"}]}, "default"),
    ("unpriced", RAISED, {"calls": 1234, "models": ["deepseek-v9"], "since": "2025-03-18"}, "default"),
    ("unpriced", RECOVERED, {"calls": 0, "models": [], "since": None}, "default"),
    ("quarantine", RAISED, {"items": 3, "kinds": {"malformed": 2, "refused": 1}, "since": NOW}, "default"),
    ("quarantine", RAISED, {"items": 1, "kinds": {"malformed": 1}, "since": NOW}, ""),
    ("unmetered", RAISED, {"calls": 120, "of_calls": 2000, "percent": "6.0"}, "default"),
    ("difference", RAISED, _OFF | {"granted": "0.00", "topped_up": "-0.31"}, "default"),
    ("difference", RECOVERED, {"differences": 0, "currency": "USD"}, "default"),
    ("unposted", RAISED, {"calls": 42, "since": NOW}, "default"),
    ("frozen", RAISED, {"since": NOW, "reason": "promise 2"}, "default"),
    ("frozen", RECOVERED, {"since": None, "reason": ""}, "default"),
    ("scheduler", RAISED, {"last_job": "post", "last_finished_at": NOW, "lease": None}, ""),
    ("scheduler", RECOVERED, {"last_job": "post", "last_finished_at": NOW}, ""),
    ("job", RAISED, _JOB | {"outcome": "warned", "said": "checked 9 charges", "error": "promise 2: off"}, ""),
    ("job", RECOVERED, _JOB | {"outcome": "done", "said": "", "error": ""}, ""),
    ("calendar", RAISED, {"calendar": "china", "published_to": "2027-01-01"}, ""),
    (DIGEST, DIGEST, _DIGEST, "default"),
    (TEST, TEST, {"channel": "ops"}, ""),
    ("something_new", RAISED, _ODD, "default"),
    ("budget", RAISED, {"budget": "facts that are not a budget's"}, "default"),
]  # fmt: skip


def examples() -> list[Message]:
    """The message of each."""
    found = []
    for kind, event, facts, account in EXAMPLES:
        notice = Notice(account, NOTICE_ID, kind, event, f"{kind} 3" if kind == "budget" else kind, facts, at(NOW))
        spend: Spend | None = SPEND if facts is FACTS else None
        found.append(compose(notice, KINDS, spend=spend, site="https://costmeter.example/" if account else None))
    return found
