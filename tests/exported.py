"""Console exports for tests: a ZIP of texts, and the header and a row of each kind."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

AMOUNT = "user_id,start_time_iso,end_time_iso,model,api_key_name,api_key,type,price,amount"
COST = "user_id,start_time_iso,end_time_iso,model,wallet_type,cost,currency"
OLD_AMOUNT = "user_id,utc_date,model,api_key_name,api_key,type,price,amount"
OLD_COST = "user_id,utc_date,model,wallet_type,cost,currency"
DAY = "2026-09-01T00:00:00+03:00,2026-09-02T00:00:00+03:00"
KEY = "sk-0123456789abcdef0123456789abcdef"


def amount_row(amount: object = 500, price: str = "0.0000006", *, meter: str = "output_tokens", time: str = DAY) -> str:
    return f"u,{time},deepseek-flash,dsh,{KEY},{meter},{price},{amount}"


def cost_row(cost: str = "0.0003", wallet: str = "Paid", *, currency: str = "USD", time: str = DAY) -> str:
    return f"u,{time},deepseek-flash,{wallet},{cost},{currency}"


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """A ZIP of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def an_export(path: Path, amounts: list[str], costs: list[str], *, header: str = AMOUNT, paid: str = COST) -> Path:
    """A ZIP as the console makes it, of these rows: with a byte order mark and CRLF."""
    texts = {"amount-2026-09-01_2026-09-02.csv": [header, *amounts], "cost-2026-09-01_2026-09-02.csv": [paid, *costs]}
    return zipped(path, {name: "\ufeff" + "\r\n".join([*lines, ""]) for name, lines in texts.items()})
