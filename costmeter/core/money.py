"""Exact money: whole numbers of 10^-12 of the currency, from the rate to the report.

A rate printed per million tokens with up to six decimals is a whole number of these units for one token, so a
charge never rounds. Amounts come in and go out as decimal strings; no float ever stands for money.
"""

from __future__ import annotations

import re

from costmeter.core.errors import InputError

DECIMALS = 12
UNITS: int = 10**DECIMALS  # units in one USD or CNY
MAX_AMOUNT = 2**63 - 1  # one charge, credit or rate fits 64 bits; sums are Python integers and need not
CURRENCIES = ("USD", "CNY")  # DeepSeek publishes two price lists, not one list and a conversion

# Far more digits than an amount has, and fewer than Python refuses to read (4300).
_DECIMAL = re.compile(r"([+-]?)(\d{1,1000})(?:\.(\d{1,1000}))?", re.ASCII)


def parse_amount(value: object, field: str = "amount") -> int:
    """The amount in units of 10^-12; refuses what is not an exact decimal string or does not fit 64 bits."""
    units, divisor = _digits(value, field)
    if divisor > UNITS:
        quotient, rest = divmod(units * UNITS, divisor)
        if rest:
            raise InputError(field, value, f"finer than 10^-{DECIMALS}, the unit of the ledger; round it at its source")
        units = quotient
    else:
        units *= UNITS // divisor
    if abs(units) > MAX_AMOUNT:
        raise InputError(field, value, f"one amount is at most {format_amount(MAX_AMOUNT)}; split it")
    return units


def parse_rate(value: object, per: int, field: str = "rate") -> int:
    """The price of one unit of a meter, in units of 10^-12, of a rate printed per `per` of them.

    A rate that would not be a whole number of 10^-12 for one unit is refused by name, since it could not be exact.
    """
    digits, divisor = _digits(value, field)
    units, rest = divmod(digits * UNITS, divisor * per)
    if rest:
        raise InputError(field, value, f"not a whole number of 10^-{DECIMALS} for one unit (printed per {per})")
    if not 0 <= units <= MAX_AMOUNT:
        raise InputError(field, value, "a rate is neither negative nor above 64 bits")
    return units


def format_amount(units: int) -> str:
    """The exact decimal string: at least two decimals, no exponent, no trailing zeros beyond two."""
    whole, fraction = divmod(abs(units), UNITS)
    decimals = f"{fraction:0{DECIMALS}d}".rstrip("0").ljust(2, "0")
    return f"{'-' if units < 0 else ''}{whole}.{decimals}"


def round_amount(units: int, decimals: int) -> int:
    """The amount rounded to so many decimals, half to even; for people's eyes only, never for a sum."""
    step: int = 10 ** (DECIMALS - decimals)
    quotient, rest = divmod(units, step)
    up = 2 * rest > step or (2 * rest == step and quotient % 2 == 1)
    return (quotient + up) * step


def check_currency(value: object, field: str = "currency") -> str:
    """The currency, one of those that DeepSeek bills in."""
    if value not in CURRENCIES:
        raise InputError(field, value, f"use one of {', '.join(CURRENCIES)}")
    return str(value)


def _digits(value: object, field: str) -> tuple[int, int]:
    """A decimal string as an integer over a power of ten."""
    match = _DECIMAL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InputError(field, value, 'write a decimal string without exponent, such as "5.00"')
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    digits = int(whole + fraction)
    divisor: int = 10 ** len(fraction)
    return (-digits if sign == "-" else digits), divisor
