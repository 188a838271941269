"""What DeepSeek does with a call: admit it, answer it, bill it once it is complete."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime

from costmeter.simulator.answers import Answer, make_answer
from costmeter.simulator.bills import Bill, PaidBill
from costmeter.simulator.cache import PrefixCache
from costmeter.simulator.calls import Call
from costmeter.simulator.clock import Clock, SimulatorClock
from costmeter.simulator.errors import VendorError, refusal
from costmeter.simulator.ledger import Ledger
from costmeter.simulator.manners import Manners
from costmeter.simulator.prices import Tariff, find_tariff
from costmeter.simulator.requests import CallRequest
from costmeter.simulator.tally import Tally
from costmeter.simulator.tokens import count_tokens
from costmeter.simulator.usage import Usage


class Vendor:
    """The one account that all keys share."""

    def __init__(self, clock: Clock, ledger: Ledger, manners: Manners) -> None:
        self.clock = clock
        self.ledger = ledger
        self.manners = manners
        self.tally = Tally()
        self._cache = PrefixCache()

    def admit(self, api_key: str, request: CallRequest, *, label: str | None = None) -> Call:
        """Begins a call, or refuses a model that is not there (400) and an account that has nothing left (402)."""
        now = self.clock.now()
        tariff = self.tariff_of(request, now)
        if self.ledger.balance().total <= 0:
            raise refusal(402)
        answer = make_answer(request.prompt, thinks=request.thinks, max_tokens=request.max_tokens)
        fingerprint = fingerprint_of(api_key)
        usage = self._usage(fingerprint, request.prompt, answer)
        return Call(str(uuid.uuid4()), int(now.timestamp()), fingerprint, request, answer, usage, tariff, label)

    def tariff_of(self, request: CallRequest, at: datetime) -> Tariff:
        """The tariff of the model that is asked for; without one there is no such model (400)."""
        tariff = find_tariff(request.model, at)
        if tariff is None:
            raise VendorError(400, "Model Not Exist")
        return tariff

    @property
    def wait(self) -> float:
        """The seconds that a client has to wait for its answer: none where the clock can be moved instead."""
        return 0.0 if isinstance(self.clock, SimulatorClock) else self.manners.answer_time.total_seconds()

    def complete(self, call: Call, *, aborted: bool = False, fault: str | None = None) -> PaidBill:
        """Bills the call at the instant at which its answer is complete, which is now.

        A call that outlives the simulator's price table is billed by the tariff under which it began.
        """
        completed_at = self._completion()
        tariff = find_tariff(call.request.model, completed_at) or call.tariff
        band = tariff.band_at(completed_at)
        rates, usage = tariff.rates[self.ledger.currency][band], call.usage
        cost = rates.cost(cache_hit=usage.cache_hit, cache_miss=usage.cache_miss, output=usage.completion)
        model = call.request.model
        self.tally.bill(fault)
        bill = Bill(call.id, call.api_key, model, completed_at, band, usage, cost, aborted, fault, call.label)
        return self.ledger.charge(bill)

    def _completion(self) -> datetime:
        if isinstance(self.clock, SimulatorClock) and self.manners.answer_time:
            return self.clock.advance(self.manners.answer_time)
        return self.clock.now()

    def _usage(self, api_key: str, prompt: str, answer: Answer) -> Usage:
        hit = self._cache.read(api_key, prompt)
        return Usage(hit, count_tokens(prompt) - hit, answer.tokens, answer.reasoning_tokens)


def fingerprint_of(api_key: str) -> str:
    """Tells two keys apart without keeping either."""
    return "fp_" + hashlib.sha256(api_key.encode()).hexdigest()[:12]
