"""Money as whole numbers of 10^-12 of the currency; text outside."""

from __future__ import annotations

import re

from costmeter.simulator.errors import BadInputError

UNIT = 10**12  # one USD or one CNY
CURRENCIES = ("USD", "CNY")  # the two currencies DeepSeek bills in

_CENT = UNIT // 100
_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,12})?", re.ASCII)


def parse_amount(value: object, field: str) -> int:
    """The units in a decimal string that is not negative; a number is refused, since it may have been a float."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise BadInputError(field, value, 'write a decimal string with at most 12 decimals and no sign, such as "5.00"')
    whole, _, decimals = value.partition(".")
    return int(whole) * UNIT + int(decimals.ljust(12, "0"))


def format_amount(units: int) -> str:
    """All the digits, at least two decimals, no zeros at the end beyond these two, no exponent."""
    whole, rest = divmod(abs(units), UNIT)
    decimals = f"{rest:012d}"
    return f"{_sign(units)}{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def round_amount(units: int) -> str:
    """Two decimals, half a cent away from zero, and the sign kept: a debt below half a cent is "-0.00".

    DeepSeek does not publish its rounding; "-0.00" has been seen in answers of /user/balance.
    """
    cents = (abs(units) + _CENT // 2) // _CENT
    return f"{_sign(units)}{cents // 100}.{cents % 100:02d}"


def _sign(units: int) -> str:
    return "-" if units < 0 else ""
