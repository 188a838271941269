"""Real traces as days: each is an hour of calls, so half a minute stands for a day, and there are no weekdays in it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from costmeter.core.usage import Usage
from costmeter.prices.read import builtin_book
from costmeter.services.quote_call import quote_call

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "traces"
TRACES = {
    "Azure code": "azure_llm_2023_code.csv",
    "Azure chat": "azure_llm_2023_conversation.csv",
    "Mooncake chat": "mooncake_conversation_usage.csv",
}
DAY = timedelta(seconds=30)
MODEL, PRICED_AT = "deepseek-chat", datetime(2025, 3, 3, 12, tzinfo=UTC)  # by day, at standard prices


def trace(name: str) -> list[int]:
    """What the calls of each half minute cost, the last and unfinished one left out."""
    book, days = builtin_book(), dict[int, int]()
    for offset, usage in _calls(FOLDER / TRACES[name]):
        charge = quote_call(book, model=MODEL, completed_at=PRICED_AT, usage=usage)
        days[offset // DAY] = days.get(offset // DAY, 0) + charge.total
    return [days.get(number, 0) for number in range(max(days))]


def _calls(path: Path) -> Iterator[tuple[timedelta, Usage]]:
    """Since the first call, and its tokens; Azure's have no cache counts, so all of their input is a miss."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if "offset_ms" in (rows.fieldnames or ()):
            for row in rows:
                hit = int(row["prompt_cache_hit_tokens"])
                usage = Usage(hit, int(row["prompt_tokens"]) - hit, int(row["completion_tokens"]), 0)
                yield timedelta(milliseconds=int(row["offset_ms"])), usage
            return
        first = None
        for row in rows:
            at = datetime.fromisoformat(row["TIMESTAMP"][:26])
            first = first or at
            yield at - first, Usage(0, int(row["ContextTokens"]), int(row["GeneratedTokens"]), 0)
