"""Small price books in TOML, so that the tests of pricing go through the reader that everybody goes through."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from costmeter.core.price_book import PriceBook
from costmeter.prices.read import read_book

HEAD = """
format = 1
provider = "deepseek"
checked = 2025-01-01
"""
METERS = """
[meters."input.cache_hit"]
unit = "tokens"
per = 1_000_000
[meters."input.cache_miss"]
unit = "tokens"
per = 1_000_000
[meters.output]
unit = "tokens"
per = 1_000_000
[meters.search]
unit = "requests"
per = 1_000
"""
CALENDAR = """
[calendars.holidays]
zone = "Europe/Berlin"
published_from = 2025-01-01
published_to = 2026-01-01
days_off = ["2025-05-01/2025-05-01", "2025-12-25/2025-12-26"]
source = "made up"
"""
SOURCE = """
source = "made up"
checked = 2025-01-01
confidence = "A"
"""
RATES = {"input.cache_hit": "1", "input.cache_miss": "2", "output": "3"}


def a_tariff(
    tariff_id: str = "demo/1",
    *,
    model: str = "demo",
    start: str | None = "2025-01-01T00:00:00Z",
    end: str | None = None,
    basis: str = "completion",
    band: str = "flat",
    windows: Sequence[str] = (),
    bands: Mapping[str, Mapping[str, str]] | None = None,
    currency: str = "USD",
) -> str:
    """One tariff; windows are inline TOML tables."""
    lines = ["[[tariffs]]", f'id = "{tariff_id}"', f'model = "{model}"', f'basis = "{basis}"', f'band = "{band}"']
    lines += [f"from = {start}"] * (start is not None) + [f"to = {end}"] * (end is not None)
    lines += [f"windows = [{', '.join(windows)}]"] * bool(windows) + [SOURCE, f"[tariffs.{currency}]"]
    for name, rates in (bands or {band: RATES}).items():
        lines.append(f"{name} = {{ {', '.join(f'{json.dumps(m)} = {json.dumps(r)}' for m, r in rates.items())} }}")
    return "\n".join(lines) + "\n"


def a_name(name: str = "demo", spans: str = '{ model = "demo" }') -> str:
    return f'[[names]]\nname = "{name}"\nspans = [{spans}]\nsource = "made up"\n'


def a_limit(model: str = "demo", *, start: str | None = None, output: int = 100) -> str:
    begins = [f"from = {start}"] * (start is not None)
    return "\n".join(["[[limits]]", f'model = "{model}"', *begins, f"output = {output}", SOURCE])


def a_book(*parts: str) -> PriceBook:
    """A book of the usual meters, one calendar named holidays, and the given tariffs and names."""
    return read_book(["\n".join((HEAD, METERS, CALENDAR, *parts))])
