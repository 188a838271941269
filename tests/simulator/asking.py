"""Short ways to ask the simulator something."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from openai import OpenAI
from openai.types.chat import ChatCompletion

from costmeter.simulator import Simulator
from costmeter.simulator.bills import Bill

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)  # standard hours of the 2025 rule
LONG_PROMPT = "Tell me what the river said to the hill. " * 40  # 1640 characters, 492 tokens by the rule of thumb

HIT, MISS, OUTPUT = Decimal("0.07"), Decimal("0.27"), Decimal("1.10")  # deepseek-chat, standard, USD per million


def ask(client: OpenAI, text: str = LONG_PROMPT, *, model: str = "deepseek-chat", **options: Any) -> ChatCompletion:
    """One question, answered whole."""
    answer: ChatCompletion = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], **options
    )
    return answer


def usage_of(answer: ChatCompletion) -> dict[str, Any]:
    """The usage object with exactly the fields that were sent."""
    assert answer.usage is not None
    return answer.usage.model_dump(exclude_unset=True)


def wait_for_a_bill(simulator: Simulator) -> Bill:
    """The first bill; the simulator notices soon that a client is gone."""
    deadline = time.monotonic() + 5
    while not simulator.ledger.calls:
        assert time.monotonic() < deadline, "the call was never billed"
        time.sleep(0.005)
    return simulator.ledger.calls[0].bill


def cost_by_hand(usage: dict[str, Any], hit: Decimal = HIT, miss: Decimal = MISS, output: Decimal = OUTPUT) -> Decimal:
    """Tokens times the listed price, per million."""
    meters = {"prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": miss, "completion_tokens": output}
    return sum((usage[meter] * price for meter, price in meters.items()), Decimal(0)) / 10**6
