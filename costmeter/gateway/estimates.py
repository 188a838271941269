"""What a call is expected to cost: the vendor's rule of thumb for its input, and what its model has said lately."""

from __future__ import annotations

from datetime import datetime

from costmeter.core.bounds import Bound
from costmeter.core.errors import InputError
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, price_usage
from costmeter.core.usage import Usage, read_usage
from costmeter.gateway.asked import Asked
from costmeter.recorder.draft import Ended
from costmeter.recorder.estimate import estimate

PLAIN_OUTPUT = 1_000  # tokens of an answer, before any has been seen of its model in this process
WEIGHT = 16  # an answer moves the average by so small a part of its difference
MODELS = 1_000  # whose averages are kept


class Estimates:
    """Learns from the calls of this process how long answers are; exact in nothing, and plain."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._outputs: dict[str, int] = {}

    def of(self, asked: Asked, currency: str, now: datetime) -> Bound | None:
        """The expected cost and tokens of a call at the price of now; None where it has no price."""
        if asked.model is None or asked.fields is None:
            return None
        sent = estimate(asked.body, None)["input_tokens"] or 0
        output, most = self._outputs.get(asked.model, PLAIN_OUTPUT), asked.fields.get(asked.output_field)
        if type(most) is int and 0 < most < output:
            output = most
        usage = Usage(0, sent, output)
        priced = price_usage(
            self._book, model=asked.model, usage=usage, started_at=now, completed_at=now, currency=currency
        )
        return Bound(priced.total, sent + output) if isinstance(priced, Charge) else None

    def learn(self, ended: Ended) -> None:
        """Takes the length of an answer into account."""
        try:
            tokens = read_usage(ended.usage).output_tokens
        except InputError:
            return  # its record says what is wrong with it
        if ended.model is not None and (ended.model in self._outputs or len(self._outputs) < MODELS):
            average = self._outputs.setdefault(ended.model, tokens)
            self._outputs[ended.model] = average + (tokens - average) // WEIGHT
