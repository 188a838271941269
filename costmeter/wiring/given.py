"""What the settings give everything that is built: the price book, the home of new accounts, thresholds, folders."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from costmeter.core.price_book import PriceBook
from costmeter.prices.read import load_book

if TYPE_CHECKING:
    from costmeter.core.watch import Thresholds
    from costmeter.settings import Settings
    from costmeter.store.accounts import Home


def settings() -> Settings:
    """What the environment says now."""
    from costmeter.settings import read_settings

    return read_settings()


@cache
def price_book() -> PriceBook:
    """The built-in price book with what COSTMETER_PRICE_BOOK adds."""
    return load_book(settings().price_book)


def close_grace() -> timedelta:
    """How long after its end a month waits for late calls."""
    return timedelta(hours=settings().close_grace_hours)


def watch_thresholds() -> Thresholds:
    """The thresholds of what is watched by the clock."""
    from costmeter.core.watch import Thresholds, parse_days, parse_low_balances
    from costmeter.settings import PREFIX

    said = settings()
    named = {name: getattr(said, f"watch_{name}") for name in Thresholds._fields}
    named["low_balance"] = parse_low_balances(said.watch_low_balance, f"{PREFIX}WATCH_LOW_BALANCE")
    named["grant_days"] = parse_days(said.watch_grant_days, f"{PREFIX}WATCH_GRANT_DAYS")
    return Thresholds(**named)


def home() -> Home:
    """What accounts get that are made at their first mention."""
    from costmeter.store.accounts import Home

    said = settings()
    return Home(said.currency, said.zone_name)


def spool_folder() -> Path:
    """The part of the spool folder that is for the server or the database of the settings, and for no other."""
    said = settings()
    if said.server_url is not None:
        return said.spool_dir / hashlib.sha256(said.server_url.rstrip("/").encode()).hexdigest()[:12]
    url = re.sub(r"(?<=://)([^:@/]*):[^@]*(?=@)", r"\1", said.database_url)  # a new password is no other database
    scheme, found, path = url.partition(":///")
    if found and scheme.startswith("sqlite"):
        url = f"{scheme}:///{Path(path).absolute()}"
    return said.spool_dir / hashlib.sha256(url.encode()).hexdigest()[:12]
