"""What DeepSeek's GET /user/balance says, and whether a ledger agrees with it.

Source: https://api-docs.deepseek.com/api/get-user-balance: amounts are decimal strings, one entry a currency. They have
two decimals; overdraft makes the topped-up one negative, and "-0.00" has been seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from costmeter.core.errors import InputError
from costmeter.core.money import UNITS, parse_total

# How the vendor rounds is not published: half a cent either way if it rounds, up to a cent if it cuts off. So less than
# the last printed digit, in each amount, says nothing of the ledger; a whole cent does.
PRECISION: int = UNITS // 100

_AMOUNTS = ("total_balance", "granted_balance", "topped_up_balance")


class Pots(NamedTuple):
    """What is in the two balances, or by how much they differ, in units of 10^-12."""

    granted: int
    topped_up: int

    @property
    def total(self) -> int:
        return self.granted + self.topped_up

    def less(self, other: Pots) -> Pots:
        return Pots(self.granted - other.granted, self.topped_up - other.topped_up)

    @property
    def is_within_precision(self) -> bool:
        """Whether it is no more than printing two decimals can make of equal balances."""
        return abs(self.granted) < PRECISION and abs(self.topped_up) < PRECISION


class ObservedBalance(NamedTuple):
    """The balances of one currency as they were printed; `body` is the known fields of the whole answer."""

    currency: str
    pots: Pots
    total: int
    body: dict[str, Any]


def read_balance(body: object, currency: str) -> ObservedBalance:
    """The balance of a currency in DeepSeek's answer.

    Raises InputError naming the field and the value where the answer has another shape, no entry of the currency, or a
    total that its parts do not make.
    """
    infos = body.get("balance_infos") if isinstance(body, Mapping) else None
    if not isinstance(infos, list) or not all(isinstance(info, Mapping) for info in infos):
        raise InputError("balance_infos", infos, "is no list of balances; ask DeepSeek's GET /user/balance")
    assert isinstance(body, Mapping)
    known = [{name: info.get(name) for name in ("currency", *_AMOUNTS)} for info in infos]
    mine = [info for info in known if info["currency"] == currency]
    if len(mine) != 1:
        found = [info["currency"] for info in known]
        raise InputError("currency", found, f"has not one balance in {currency}, the account's; choose its account")
    total, granted, topped_up = (parse_total(mine[0][name], name) for name in _AMOUNTS)
    if abs(total - granted - topped_up) >= 2 * PRECISION:  # each is rounded by itself
        raise InputError("total_balance", mine[0]["total_balance"], "is not granted and topped up together; ask again")
    kept = {"is_available": body.get("is_available") is True, "balance_infos": known}
    return ObservedBalance(currency, Pots(granted, topped_up), total, kept)
