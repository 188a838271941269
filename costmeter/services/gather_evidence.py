"""Gather what could explain a difference between DeepSeek's balance and the ledger's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from costmeter.core.doubts import CLOCK_OFFSET, RESOLUTION
from costmeter.core.events import UsageEvent
from costmeter.core.observed_balance import Pots
from costmeter.core.price_book import TOKEN_METERS, PriceBook
from costmeter.core.pricing import Unpriced, price_event
from costmeter.core.reconciliation import Bucket, Evidence, Held, Stretch
from costmeter.core.usage import MAX_TOKENS, Usage
from costmeter.store import charges, credits, evidence
from costmeter.store.accounts import Account
from costmeter.store.balances import balance_at
from costmeter.store.observations import Observation


def gather_evidence(
    connection: Connection,
    account: Account,
    *,
    book: PriceBook,
    since: datetime | None,
    before: Sequence[Observation],
    known: Pots,
    difference: Pots,
    expected: Pots,
    at: datetime,
) -> Evidence:
    """What the ledger has of an account after `since` and until `at`.

    `before` are the observations between the two whose differences are open; `known` is what of their differences, and
    of the present one, was explained before, and `difference` the rest of the present one.
    """
    name, currency = account.account, account.currency
    ends = [(seen.expected_at, _difference_now(connection, account, seen) - known.total) for seen in before]
    ends.append((at, difference.total))
    stretches = [*_stretches(connection, account, since, ends)]
    near = evidence.near_band_edges(connection, name, since, at)
    unmetered = evidence.unmetered(connection, name, since, at)
    waiting = evidence.unposted(connection, name, at)
    return Evidence(
        since=since,
        at=at,
        expected=expected,
        credits=_held(connection, account, since, at),
        stretches=stretches,
        other_rates=_rates(book, currency, {bucket for stretch in stretches for bucket in stretch.tokens}),
        clock_calls=sum(call.sign for call in near),
        clock_range=_clock_range(near, book, currency),
        unmetered_calls=len(unmetered),
        unmetered_cost=sum(_cost(book, _estimated(event), currency) for event in unmetered),
        unposted_calls=len(waiting),
        unposted_cost=sum(_cost(book, event, currency) for event in waiting),
    )


def _stretches(
    connection: Connection, account: Account, since: datetime | None, ends: Iterable[tuple[datetime, int]]
) -> Iterable[Stretch]:
    """By how much the difference grew from each observation to the next, of which `ends` has instant and difference."""
    reached = 0
    for end, total in ends:
        yield Stretch(total - reached, _tokens(connection, account.account, since, end))
        since, reached = end, total


def _difference_now(connection: Connection, account: Account, seen: Observation) -> int:
    """The difference of an observation as all that is known now tells it."""
    return seen.observed.total - balance_at(connection, account, seen.expected_at).total


def _tokens(connection: Connection, account: str, since: datetime | None, at: datetime) -> Counter[Bucket]:
    tokens = Counter[Bucket]()
    for used in evidence.used(connection, account, *evidence.completed(since, at)):
        for meter, count, cost in zip(TOKEN_METERS, used.tokens, used.costs, strict=True):
            if count > 0 and used.tariff is not None and used.band is not None:
                tokens[Bucket(used.model, used.tariff, used.band, meter, cost // count)] += count
    return tokens


def _held(connection: Connection, account: Account, since: datetime | None, at: datetime) -> list[Held]:
    left = credits.balances(connection, account.account)
    booked = [one for one in credits.of_account(connection, account.account) if one.void is None]
    first = min((one.credit.effective_at for one in booked), default=at)
    given, _ = charges.given_since(connection, account.account, since=since or first, upto=account.version)
    return [
        Held(
            one.reference or f"number {one.credit.credit_id}",
            one.credit.kind,
            one.credit.amount,
            one.credit.effective_at,
            one.credit.expires_at,
            left[one.credit.credit_id].remaining,
            given.get(one.credit.credit_id, 0),
        )
        for one in booked
        if one.credit.effective_at <= at
    ]


def _rates(book: PriceBook, currency: str, buckets: Iterable[Bucket]) -> dict[tuple[str, str], frozenset[int]]:
    """Every rate of one token that the price book ever had for the models and meters of these."""
    found: dict[tuple[str, str], frozenset[int]] = {}
    for model, meter in {(bucket.model, bucket.meter) for bucket in buckets}:
        lists = [tariff.rates[currency] for tariff, _ in book.tariffs_of(model) if currency in tariff.rates]
        bands = [rates for listed in lists for rates in listed.bands.values()]
        found[model, meter] = frozenset(rates[meter].units for rates in bands if meter in rates)
    return found


def _clock_range(near: Iterable[evidence.NearCall], book: PriceBook, currency: str) -> tuple[int, int]:
    """By how much more, at least and at most, these calls cost at the instants that the vendor's clock had."""
    low = high = 0
    for event, cost, sign in near:
        offset = event.detail.get(CLOCK_OFFSET, 0)
        costs = []
        for error in (-RESOLUTION, 0, RESOLUTION):
            completed_at = event.completed_at + timedelta(seconds=offset + error)
            costs.append(_cost(book, event._replace(completed_at=completed_at), currency) - cost)
        low += min(costs) if sign == 1 else -max(costs)
        high += max(costs) if sign == 1 else -min(costs)
    return low, high


def _estimated(event: UsageEvent) -> UsageEvent:
    """The call with what it may have used: nothing is known of the cache, so that all input counts as missed."""
    estimate = event.detail.get("estimate")
    said = estimate if isinstance(estimate, dict) else {}
    counts = [said.get(name) for name in ("input_tokens", "output_tokens")]
    missed, output = (count if type(count) is int and 0 <= count <= MAX_TOKENS else 0 for count in counts)
    return event._replace(usage=Usage(0, missed, output))


def _cost(book: PriceBook, event: UsageEvent, currency: str) -> int:
    """What a call costs; one without a price counts as nothing, as it does in a balance."""
    priced = price_event(book, event, currency)
    return 0 if isinstance(priced, Unpriced) else priced.total
