"""The sums of a statement, done again: what it is made of comes to what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from costmeter.core.money import format_amount, parse_total
from costmeter.core.statements import PARTS

Shape = Mapping[str, Any]


def check_sums(statement: Shape) -> list[dict[str, Any]]:
    """What of a statement's JSON must come to what else of it: `terms` add up to `told`, or they do not (`holds`).

    The opening balance and all movements are the closing balance; usage by model and band is the month's cost, and so
    is what paid for it, what each project cost and what each API key cost. What is unpriced is in none of them.
    """
    return [*_balances(statement), *_costs(statement)]


def _balances(statement: Shape) -> Iterator[dict[str, Any]]:
    for part in ("granted", "topped_up", "total"):
        terms = [("opening", statement["opening"][part])]
        terms += [(one["kind"], one[part]) for one in statement["movements"]]
        yield _check(f"balance.{part}", terms, statement["closing_balance"][part])


def _costs(statement: Shape) -> Iterator[dict[str, Any]]:
    paid = statement["deductions"]
    cost = paid["cost"]
    yield _check("paid", [(name, paid[name]) for name in PARTS], cost)
    yield _check("usage", [(None, one["cost"]) for one in statement["usage"] if one["cost"] is not None], cost)
    for name in ("project", "api_key"):
        yield _check(name, [(None, one["cost"]) for one in statement["showback"][name]], cost)


def _check(name: str, terms: Iterable[tuple[str | None, str]], told: str) -> dict[str, Any]:
    listed = [{"of": of, "amount": amount} for of, amount in terms]
    total = format_amount(sum(parse_total(one["amount"]) for one in listed))
    return {"check": name, "terms": listed, "sum": total, "told": told, "holds": total == told}
