"""Exact cost and usage accounting for the DeepSeek API.

    client = costmeter.wrap(OpenAI(base_url="https://api.deepseek.com", api_key=...), project="search")

records every call of that client; `costmeter report` says what it cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any

from costmeter import wiring
from costmeter.client.client import Client
from costmeter.core.errors import NoPriceError, OverBudgetError, ServiceError
from costmeter.core.pricing import Charge
from costmeter.core.usage import Usage
from costmeter.recorder.attribution import attribute
from costmeter.recorder.client import wrap
from costmeter.recorder.spool import Counts
from costmeter.recorder.spools import flush, stats
from costmeter.recorder.transport import AsyncRecordingTransport, RecordingTransport
from costmeter.services.quote_call import quote_call

__all__ = [
    "AsyncRecordingTransport",
    "Charge",
    "Client",
    "Counts",
    "NoPriceError",
    "OverBudgetError",
    "RecordingTransport",
    "ServiceError",
    "__version__",
    "attribute",
    "flush",
    "quote",
    "stats",
    "wrap",
]
__version__ = version("costmeter")


def quote(
    *,
    model: str,
    completed_at: datetime | str,
    usage: Usage | Mapping[str, Any],
    currency: str = "USD",
    started_at: datetime | str | None = None,
) -> Charge:
    """What one call costs, line by line; records nothing.

    `usage` is the provider's own object (chat, FIM, responses or Anthropic shape); instants are aware or RFC 3339.
    Raises NoPriceError where no tariff or rate covers the call, and InputError, naming the field, for bad input.
    """
    return quote_call(
        wiring.price_book(),
        model=model,
        completed_at=completed_at,
        usage=usage,
        currency=currency,
        started_at=started_at,
    )
