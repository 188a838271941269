"""What DeepSeek does with a call: admit it, answer it, bill it once it is complete."""

from __future__ import annotations

import hashlib
import math
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from costmeter.simulator.answers import Answer, make_answer
from costmeter.simulator.bills import Bill, PaidBill
from costmeter.simulator.cache import PrefixCache
from costmeter.simulator.clock import STILL, Clock, SimulatorClock
from costmeter.simulator.errors import BadInputError, VendorError
from costmeter.simulator.ledger import Ledger
from costmeter.simulator.prices import Tariff, find_tariff
from costmeter.simulator.requests import ChatRequest
from costmeter.simulator.tokens import count_tokens
from costmeter.simulator.usage import Usage


@dataclass(frozen=True)
class Call:
    """A call that was admitted: everything is decided but the instant of its completion."""

    id: str
    created: int  # Unix seconds at the start; DeepSeek sends the same in every chunk.
    api_key: str  # a fingerprint
    request: ChatRequest
    answer: Answer
    usage: Usage
    tariff: Tariff


class Vendor:
    """The one account that all keys share; `answer_time` passes on the clock while an answer is made."""

    def __init__(
        self, clock: Clock, ledger: Ledger, *, chunk_delay: float = 0.0, answer_time: timedelta = STILL
    ) -> None:
        if not 0 <= chunk_delay < math.inf:
            raise BadInputError("chunk_delay", chunk_delay, "give seconds, 0 or more")
        self.clock = clock
        self.ledger = ledger
        self.chunk_delay = chunk_delay
        self.answer_time = answer_time
        self._cache = PrefixCache()

    def admit(self, api_key: str, request: ChatRequest) -> Call:
        """Begins a call, or refuses a model that is not there (400) and an account that has nothing left (402)."""
        now = self.clock.now()
        tariff = find_tariff(request.model, now)
        if tariff is None:
            raise VendorError(400, "Model Not Exist")
        if self.ledger.balance().total <= 0:
            raise VendorError(402, "Insufficient Balance", "unknown_error")
        answer = make_answer(request.prompt, thinks=request.thinks, max_tokens=request.max_tokens)
        fingerprint = fingerprint_of(api_key)
        usage = self._usage(fingerprint, request.prompt, answer)
        return Call(str(uuid.uuid4()), int(now.timestamp()), fingerprint, request, answer, usage, tariff)

    def complete(self, call: Call, *, aborted: bool = False) -> PaidBill:
        """Bills the call at the instant at which its answer is complete, which is now.

        A call that outlives the simulator's price table is billed by the tariff under which it began.
        """
        completed_at = self._completion()
        tariff = find_tariff(call.request.model, completed_at) or call.tariff
        band = tariff.band_at(completed_at)
        rates, usage = tariff.rates[self.ledger.currency][band], call.usage
        cost = rates.cost(cache_hit=usage.cache_hit, cache_miss=usage.cache_miss, output=usage.completion)
        model = call.request.model
        return self.ledger.charge(Bill(call.id, call.api_key, model, completed_at, band, usage, cost, aborted))

    def _completion(self) -> datetime:
        if isinstance(self.clock, SimulatorClock) and self.answer_time:
            return self.clock.advance(self.answer_time)
        return self.clock.now()

    def _usage(self, api_key: str, prompt: str, answer: Answer) -> Usage:
        hit = self._cache.read(api_key, prompt)
        return Usage(hit, count_tokens(prompt) - hit, answer.tokens, answer.reasoning_tokens)


def fingerprint_of(api_key: str) -> str:
    """Tells two keys apart without keeping either."""
    return "fp_" + hashlib.sha256(api_key.encode()).hexdigest()[:12]
