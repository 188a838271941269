"""The statement of a month: what an account had, what came and went, and what it has.

Opening balance and movements add up to the closing balance, to the digit. Overdraft is part of the topped-up balance,
which it makes negative. Source: DeepSeek's own `GET /user/balance`, whose topped_up_balance goes below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from costmeter.core.money import format_amount, round_amount
from costmeter.core.periods import Period, format_instant

FORMAT = 1  # of the statement's JSON; what a closed month prints never changes under its number
DECIMALS = 2  # of the rounded column
PARTS = ("granted", "topped_up", "overdraft", "untracked")
METERS = {
    "input.cache_hit": ("cache_hit_tokens", "cost_cache_hit"),
    "input.cache_miss": ("cache_miss_tokens", "cost_cache_miss"),
    "output": ("output_tokens", "cost_output"),
}
TEXTS = {
    "opening": "Balance that the account was opened with",
    "credit": "Credits added",
    "void": "Credits voided",
    "correction": "Corrections",
    "usage": "Usage of the month",
    "adjustment": "Adjustments of earlier months",
    "expiry": "Grants expired",
}


class Pair(NamedTuple):
    """A balance, or a movement of it, in units of 10^-12."""

    granted: int
    topped_up: int

    @property
    def total(self) -> int:
        return self.granted + self.topped_up

    def plus(self, other: Pair) -> Pair:
        return Pair(self.granted + other.granted, self.topped_up + other.topped_up)

    def as_dict(self) -> dict[str, str]:
        return {name: format_amount(getattr(self, name)) for name in ("granted", "topped_up", "total")}


class Usage(NamedTuple):
    """Charges of one project, key, model and band, summed; `adjusts` is the closed month that they belong to.

    `sums` has calls, unpriced, the token counts, the cost of each meter, cost and the four parts that paid it.
    """

    adjusts: str | None
    project: str | None
    api_key: str | None
    model: str
    band: str | None
    sums: Mapping[str, int]


def moved_shape(opening: Pair, movements: Mapping[str, Pair]) -> dict[str, Any]:
    """A month's balances and what lies between them, as JSON has them; movements are by a key of TEXTS."""
    return {
        "opening": opening.as_dict(),
        "movements": [
            {"kind": kind, "text": TEXTS[kind], **movements[kind].as_dict()} for kind in TEXTS if kind in movements
        ],
        "closing_balance": _closing(opening, movements).as_dict(),
    }


def _closing(opening: Pair, movements: Mapping[str, Pair]) -> Pair:
    balance = opening
    for movement in movements.values():
        balance = balance.plus(movement)
    return balance


@dataclass(frozen=True, slots=True)
class Statement:
    """One month of one account; `credits`, `expiries` and what was imported are as JSON has them."""

    account: str
    month: str
    currency: str
    timezone: str
    period: Period
    as_of: datetime
    opening: Pair
    movements: Mapping[str, Pair]  # by a key of TEXTS
    usage: Sequence[Usage]
    credits: Sequence[Mapping[str, Any]]
    expiries: Sequence[Mapping[str, Any]]
    imported: Sequence[Mapping[str, Any]]
    imported_costs: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]

    @property
    def closing(self) -> Pair:
        return _closing(self.opening, self.movements)

    def parts(self, *, adjustments: bool) -> dict[str, int]:
        """The cost of the month's usage, or of what adjusts earlier months, and how it was paid."""
        return _summed(("cost", *PARTS), (one for one in self.usage if (one.adjusts is not None) == adjustments))

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, while the month is open; amounts are exact decimal strings."""
        start, end = self.period
        assert start is not None
        assert end is not None
        return {
            "format": FORMAT,
            "account": self.account,
            "month": self.month,
            "currency": self.currency,
            "timezone": self.timezone,
            "from": format_instant(start),
            "to": format_instant(end),
            "state": "open",
            "as_of": format_instant(self.as_of),
            "closing": None,
            **moved_shape(self.opening, self.movements),
            "credits": list(self.credits),
            "usage": self._usage(),
            "deductions": _amounts(self.parts(adjustments=False)),
            "expiries": list(self.expiries),
            "adjustments": self._adjustments(),
            "showback": {"project": self._showback("project"), "api_key": self._showback("api_key")},
            "imported": list(self.imported),
            "imported_costs": list(self.imported_costs),
            "counts": dict(self.counts),
            "rounding": _rounding(self.closing.total, self._balance_column()),
            "usage_rounding": _rounding(self.parts(adjustments=False)["cost"], self._usage_column()),
        }

    def _usage(self) -> list[dict[str, Any]]:
        """What each model used in each band, meter by meter; without any price the amounts are null."""
        rows = []
        for (model, band), group in _grouped(self._own(), "model", "band"):
            sums = _summed((*_NUMBERS, *PARTS), group)
            unpriced = sums["unpriced"] == sums["calls"] > 0
            lines = [
                {"meter": meter, "quantity": sums[tokens], "amount": None if unpriced else format_amount(sums[cost])}
                for meter, (tokens, cost) in METERS.items()
            ]
            cost = None if unpriced else format_amount(sums["cost"])
            rows.append({"model": model, "band": band, "calls": sums["calls"], "lines": lines, "cost": cost})
        return rows

    def _adjustments(self) -> list[dict[str, Any]]:
        later = (one for one in self.usage if one.adjusts is not None)
        return [
            {"month": month, "model": model, **_counted(group)}
            for (month, model), group in _grouped(later, "adjusts", "model")
        ]

    def _showback(self, name: str) -> list[dict[str, Any]]:
        return [{"name": keys[0], **_counted(group)} for keys, group in _grouped(self._own(), name)]

    def _own(self) -> list[Usage]:
        return [one for one in self.usage if one.adjusts is None]

    def _balance_column(self) -> list[int]:
        return [self.opening.total, *(movement.total for movement in self.movements.values())]

    def _usage_column(self) -> list[int]:
        return [_summed(("cost",), group)["cost"] for _, group in _grouped(self._own(), "model", "band")]


_NUMBERS = ("calls", "unpriced", *(name for meter in METERS.values() for name in meter), "cost")


def _grouped(usage: Iterable[Usage], *names: str) -> list[tuple[tuple[Any, ...], list[Usage]]]:
    """The usage by these fields, in their order, what names none first; without what came to nothing, all in all."""
    groups: dict[tuple[Any, ...], list[Usage]] = {}
    for one in usage:
        groups.setdefault(tuple(getattr(one, name) for name in names), []).append(one)
    moved = {keys: group for keys, group in groups.items() if any(_summed((*_NUMBERS, *PARTS), group).values())}
    return sorted(moved.items(), key=lambda item: tuple((key is not None, key or "") for key in item[0]))


def _summed(names: Sequence[str], usage: Iterable[Usage]) -> dict[str, int]:
    sums = dict.fromkeys(names, 0)
    for one in usage:
        for name in names:
            sums[name] += one.sums[name]
    return sums


def _counted(usage: Sequence[Usage]) -> dict[str, Any]:
    sums = _summed(("calls", "cost", *PARTS), usage)
    return {"calls": sums.pop("calls"), **_amounts(sums)}


def _amounts(sums: Mapping[str, int]) -> dict[str, str]:
    return {name: format_amount(amount) for name, amount in sums.items()}


def _rounding(exact: int, column: Sequence[int]) -> dict[str, Any]:
    """What rounding each amount of a column by itself does to its sum."""
    total, added = round_amount(exact, DECIMALS), sum(round_amount(amount, DECIMALS) for amount in column)
    return {
        "decimals": DECIMALS,
        "exact_total": format_amount(exact),
        "rounded_total": format_amount(total),
        "sum_of_rounded": format_amount(added),
        "difference": format_amount(total - added),
    }
