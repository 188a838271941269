"""The form of a budget: the options of `budget add` as fields, and what is wrong with one beside it.

Its start and end are on the clock of the budget's time zone, as a calendar on a wall is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from costmeter.core.budgets import DEFAULT_THRESHOLDS, FORECAST, TOKENS
from costmeter.core.errors import CostmeterError, InputError
from costmeter.core.periods import parse_instant, zone
from costmeter.services.add_budget import NewBudget
from costmeter.web.local_time import read_instant

FIELDS = ("account", "budget", "amount", "unit", "per", "where", "at", "forecast", "stops", "timezone", "from", "to",
          "channels")  # fmt: skip
MONEY = "money"


def empty_form(account: str | None, timezone: str) -> dict[str, str]:
    """The fields of a new budget."""
    said = dict.fromkeys(FIELDS, "")
    at = ", ".join(DEFAULT_THRESHOLDS)
    return said | {"account": account or "", "unit": MONEY, "per": "month", "at": at, "timezone": timezone}


def form_of_budget(shape: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a budget as it is."""
    foreseen = [one.removeprefix(f"{FORECAST} ") for one in shape["thresholds"] if one.startswith(f"{FORECAST} ")]
    actual = [one for one in shape["thresholds"] if not one.startswith(f"{FORECAST} ")]
    return {
        "account": shape["account"],
        "budget": shape["budget"],
        "amount": shape["amount"],
        "unit": TOKENS if shape["unit"] == TOKENS else MONEY,
        "per": shape["per"],
        "where": "\n".join(f"{key}={value}" for key, value in shape["filters"].items()),
        "at": ", ".join(actual),
        "forecast": ", ".join(foreseen),
        "stops": "yes" if shape["stops"] else "",
        "timezone": shape["timezone"],
        "from": _shown(shape["starts_at"], shape["timezone"]),
        "to": _shown(shape["ends_at"], shape["timezone"]),
        "channels": ", ".join(shape["channels"] or ()),
    }


def filled_in(form: Mapping[str, str]) -> dict[str, str]:
    """The fields as somebody sent them; nothing else of the form, its key least of all."""
    return {name: "\n".join(form.get(name, "").strip().splitlines()) for name in FIELDS}


def read_budget(said: Mapping[str, str], account: str, account_zone: str) -> NewBudget:
    """The budget that the fields ask for; InputError by the name of the field, as the service has it."""
    shown = said["timezone"] or account_zone
    zone(shown)
    is_money = said["unit"] != TOKENS
    if not said["amount"]:
        raise InputError("amount", None, "is missing")
    return NewBudget(
        account,
        said["budget"],
        said["per"],
        said["amount"] if is_money else None,
        None if is_money else said["amount"].replace(",", ""),
        [line.strip() for line in said["where"].splitlines() if line.strip()],
        said["timezone"] or None,
        _listed(said["at"]),
        _listed(said["forecast"]),
        said["stops"] == "yes",
        _instant(said["from"], shown, "from"),
        _instant(said["to"], shown, "to"),
        _listed(said["channels"]) or None,
    )


def wrong_field(error: CostmeterError, said: Mapping[str, str]) -> str | None:
    """The field of the form that an error is about; None where it is about none of them."""
    if not isinstance(error, InputError):
        return None
    if error.field == "threshold":
        return "forecast" if error.value in _listed(said["forecast"]) else "at"
    field = "amount" if error.field == TOKENS else error.field
    return field if field in FIELDS else None


def _listed(text: str) -> list[str]:
    """What stands between commas, semicolons or white space."""
    return [part for part in re.split(r"[,;\s]+", text) if part]


def _shown(text: str | None, timezone: str) -> str:
    return "" if text is None else f"{parse_instant(text).astimezone(zone(timezone)):%Y-%m-%dT%H:%M}"


def _instant(text: str, timezone: str, field: str) -> datetime | None:
    return read_instant(text, field, timezone) if text else None
