"""Calls as a day of them might be: made from a seed, in the shape in which the recorder sends them."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from costmeter.core.periods import format_instant
from costmeter.store.keys import new_id

START = datetime(2025, 3, 1, tzinfo=UTC)
NOW = datetime(2025, 4, 1, tzinfo=UTC)  # when the benchmarks record and post


def account_name(number: int) -> str:
    return f"account-{number:06d}"


def bodies(chance: random.Random, count: int, *, accounts: int = 1, first: int = 0, step: int = 1) -> list[Any]:
    """Measured calls of the accounts numbered `first`, `first + step`, ... below `accounts`; ids are new each time."""
    numbers = range(first, accounts, step)
    return [_body(chance, account_name(chance.choice(numbers))) for _ in range(count)]


def _body(chance: random.Random, account: str) -> dict[str, Any]:
    hit, miss, output = chance.randrange(200) * 64, chance.randrange(1, 8_000), chance.randrange(1, 4_000)
    began = START + timedelta(microseconds=chance.randrange(28 * 86_400_000_000))
    return {
        "event_id": new_id(),
        "account": account,
        "project": f"project-{chance.randrange(20)}",
        "user": f"user-{chance.randrange(500)}",
        "api_key": "backend-prod",
        "tags": {"team": chance.choice("abc")},
        "provider": "deepseek",
        "model": chance.choice(("deepseek-chat", "deepseek-reasoner")),
        "requested_model": "deepseek-chat",
        "response_id": str(uuid.uuid4()),
        "operation_id": new_id(),
        "status": "ok",
        "started_at": format_instant(began),
        "completed_at": format_instant(began + timedelta(milliseconds=chance.randrange(1, 60_000))),
        "usage": {
            "prompt_tokens": hit + miss,
            "completion_tokens": output,
            "total_tokens": hit + miss + output,
            "prompt_tokens_details": {"cached_tokens": hit},
            "completion_tokens_details": {"reasoning_tokens": chance.randrange(output)},
            "prompt_cache_hit_tokens": hit,
            "prompt_cache_miss_tokens": miss,
        },
    }
