"""Why DeepSeek's balance is not the ledger's: explanations, ranked, each with its amount and its evidence.

A difference is the observed balance less the expected one. Nothing here is certain where several explanations fit:
each says what it would come to, what it leaves, and how many others fit as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from costmeter.core.ledger import GRANTED, TOPPED_UP
from costmeter.core.money import UNITS, format_amount
from costmeter.core.observed_balance import PRECISION, Pots
from costmeter.core.periods import format_instant

UNPOSTED = "unposted_calls"
CLOCK = "calls_near_a_band_edge"
PRICE = "price_of_one_meter"
EXPIRY = "expiry"
WRONG_TOP_UP, UNKNOWN_TOP_UP = "wrong_top_up", "unknown_top_up"
WRONG_GRANT, UNKNOWN_GRANT = "wrong_grant", "unknown_grant"
UNMETERED = "unmetered_calls"
UNRECORDED = "unrecorded_usage"
UNBILLED = "recorded_but_not_billed"
UNEXPLAINED = "unexplained"

ERROR = 2 * PRECISION  # of a difference between two observations, or between the sums of two printed amounts
NEAR_EXPIRY = timedelta(days=3)  # the vendor's calendar of grants is not in its API
PER_MILLION = 10**6


class Bucket(NamedTuple):
    """The tokens of one meter that a model used in one band of a tariff, and the rate of one, in units of 10^-12."""

    model: str
    tariff: str
    band: str
    meter: str
    rate: int


class Held(NamedTuple):
    """A credit: what it holds at the observation, and gave to calls since the last balance that agreed."""

    name: str
    kind: str
    amount: int
    effective_at: datetime
    expires_at: datetime | None
    held: int  # what is left of it, whether it has expired or not
    given: int


class Stretch(NamedTuple):
    """From one observation to the next: by how much the total difference grew, and the tokens of each bucket."""

    growth: int
    tokens: Mapping[Bucket, int]


class Evidence(NamedTuple):
    """What the ledger has of an account since the last balance that agreed (None: since its beginning)."""

    since: datetime | None
    at: datetime
    expected: Pots
    credits: Sequence[Held] = ()
    stretches: Sequence[Stretch] = ()  # the last ends at the observation
    other_rates: Mapping[tuple[str, str], frozenset[int]] = {}  # what the price book ever had for a model and meter
    clock_calls: int = 0  # near a band edge, priced by the vendor's clock
    clock_range: tuple[int, int] = (0, 0)  # what that adds to their cost, at least and at most
    unmetered_calls: int = 0
    unmetered_cost: int = 0  # by their estimates
    unposted_calls: int = 0
    unposted_cost: int = 0


class Finding(NamedTuple):
    """One explanation: what it takes from or adds to the balance, and what of the difference it leaves."""

    kind: str
    amount: int
    left: int
    fits: bool
    rank: int  # of those that fit the lower is the likelier
    evidence: str

    def as_dict(self) -> dict[str, Any]:
        amounts = {"amount": format_amount(self.amount), "left": format_amount(self.left)}
        return {"kind": self.kind, "fits": self.fits, **amounts, "evidence": self.evidence}


def explain(difference: Pots, evidence: Evidence) -> list[Finding]:
    """The explanations of a difference, the likeliest first; one that fits comes before one that explains a part.

    Specific evidence goes first: an amount that was known before the difference was. What can be of any amount
    (unrecorded usage, a top-up nobody entered) fits nearly always and goes behind it.
    """
    explanations = (_unposted, _clock, _price, _expiry, _credit_amount, _unknown_credit, _unmetered, _usage)
    found = [finding for explanation in explanations for finding in explanation(difference, evidence)]
    if not found:
        said = "nothing that is known of the account comes to this"
        return [Finding(UNEXPLAINED, 0, difference.total, False, 9, said)]
    return sorted(found, key=lambda finding: (not finding.fits, finding.rank, abs(finding.left)))


def _finding(kind: str, amount: int, difference: Pots, said: str, *, fits: bool, rank: int) -> Finding:
    left = difference.total - amount
    return Finding(kind, amount, left, fits and abs(left) < ERROR, rank, said)


def _unposted(difference: Pots, evidence: Evidence) -> Iterator[Finding]:
    if evidence.unposted_calls:
        said = (
            f"{evidence.unposted_calls:,} calls are recorded and not posted; they cost {_shown(evidence.unposted_cost)}"
        )
        yield _finding(
            UNPOSTED, -evidence.unposted_cost, difference, said, fits=_is_usage(difference, evidence), rank=0
        )


def _clock(difference: Pots, evidence: Evidence) -> Iterator[Finding]:
    """Calls that the vendor's clock, as it was then, puts into another band."""
    low, high = evidence.clock_range
    if not evidence.clock_calls or low == high == 0:
        return
    amount = -min(max(-difference.total, low), high)
    more = _between(low, high)
    said = f"{evidence.clock_calls:,} calls are near a band edge: by the vendor's clock they cost {more} more"
    yield _finding(CLOCK, amount, difference, said, fits=_is_usage(difference, evidence), rank=1)


def _price(difference: Pots, evidence: Evidence) -> Iterator[Finding]:
    """A rate that is another one at the vendor's: the difference grows with the tokens of one bucket."""
    if not _is_usage(difference, evidence):
        return
    for bucket in sorted({bucket for stretch in evidence.stretches for bucket in stretch.tokens}):
        bounds = _rate_bounds(bucket, evidence.stretches)
        if bounds is None:
            continue
        low, high = bounds
        others = evidence.other_rates.get((bucket.model, bucket.meter), frozenset()) - {bucket.rate}
        listed = sorted(rate for rate in others if low <= rate <= high)
        telling = [one for one in evidence.stretches if one.tokens.get(bucket) and abs(one.growth) >= ERROR]
        rate = listed[0] if listed else _shortest(low, high)
        is_known = bool(listed) and 10 * (high - low) < abs(rate - bucket.rate)
        if len(telling) < 2 and not is_known:
            continue
        tokens = sum(stretch.tokens.get(bucket, 0) for stretch in evidence.stretches)
        said = (
            f"{tokens:,} tokens of {bucket.meter} of {bucket.model} ({bucket.tariff}, {bucket.band}) are booked at "
            f"{_per_million(bucket.rate)} per million; {_per_million(rate)} would explain it"
            + (", which the price book has at another time" if listed else "")
            + (f", over {len(telling)} observations alike" if len(telling) > 1 else "")
        )
        rank = 1 if len(telling) > 1 else 2
        yield _finding(PRICE, -tokens * (rate - bucket.rate), difference, said, fits=True, rank=rank)


def _rate_bounds(bucket: Bucket, stretches: Sequence[Stretch]) -> tuple[int, int] | None:
    """Between which rates that bucket's explains every stretch; None where none does, or where its own rate does."""
    low, high = 0, 2**63
    for stretch in stretches:
        tokens = stretch.tokens.get(bucket, 0)
        if not tokens:
            if abs(stretch.growth) >= ERROR:
                return None
            continue
        low = max(low, bucket.rate + -(-(-stretch.growth - ERROR) // tokens))
        high = min(high, bucket.rate + (-stretch.growth + ERROR) // tokens)
    return (low, high) if low <= high and not low <= bucket.rate <= high else None


def _shortest(low: int, high: int) -> int:
    """The rate between two that takes the fewest digits to print per million."""
    step: int = 10 ** len(str(high))
    while -(-low // step) * step > high:
        step //= 10
    return -(-low // step) * step


def _expiry(difference: Pots, evidence: Evidence) -> Iterator[Finding]:
    """A grant that is gone at the vendor and not here, or the other way."""
    granted, topped_up = difference
    for credit in evidence.credits:
        if credit.kind != GRANTED or credit.held < PRECISION:
            continue
        expires_at = credit.expires_at
        ends = "has no expiry here" if expires_at is None else f"expires here at {format_instant(expires_at)}"
        said = f"grant {credit.name} {ends} and holds {_shown(credit.held)}; granted differs by {_about(granted)}"
        if expires_at is None or expires_at > evidence.at:
            # What it gave since it was gone at the vendor was taken from other credits there.
            moved = min(max(difference.total, -credit.held - credit.given), -credit.held)
            fits = granted < ERROR - credit.held and topped_up < ERROR
        elif evidence.since is None or expires_at > evidence.since:
            moved, fits = credit.held, granted > -ERROR and topped_up > -ERROR
        else:
            continue
        is_near = expires_at is not None and abs(expires_at - evidence.at) <= NEAR_EXPIRY
        is_about_all = 10 * (abs(difference.total) - credit.held) <= credit.held
        if moved * difference.total > 0:
            yield _finding(EXPIRY, moved, difference, said, fits=fits, rank=1 if is_near or is_about_all else 4)


def _credit_amount(difference: Pots, evidence: Evidence) -> Iterator[Finding]:
    """A credit that was entered with another amount than the vendor's."""
    for credit in evidence.credits:
        if evidence.since is not None and credit.effective_at <= evidence.since:
            continue
        kind = WRONG_TOP_UP if credit.kind == TOPPED_UP else WRONG_GRANT
        mine, other = (difference.topped_up, difference.granted)[:: 1 if credit.kind == TOPPED_UP else -1]
        if abs(mine) < PRECISION or abs(other) >= ERROR or credit.amount + mine < -ERROR:
            continue
        booked, other_amount = _shown(credit.amount), _about(credit.amount + mine)
        said = f"credit {credit.name} is booked as {booked}; {other_amount} would explain it"
        if abs(credit.amount + mine) < ERROR:
            said = f"credit {credit.name} of {booked} is booked, and the vendor does not have it"
        yield _finding(kind, mine, difference, said, fits=True, rank=1 if _is_round(mine) else 4)


def _unknown_credit(difference: Pots, evidence: Evidence) -> Iterator[Finding]:
    """Balance that came in and was not entered."""
    granted, topped_up = difference
    if topped_up >= PRECISION and abs(granted) < ERROR:
        said = f"the topped-up balance is {_about(topped_up)} more than what was entered comes to"
        yield _finding(UNKNOWN_TOP_UP, topped_up, difference, said, fits=True, rank=2 if _is_round(topped_up) else 5)
    spent = sum(credit.given for credit in evidence.credits if credit.kind == TOPPED_UP)
    if difference.total >= PRECISION and granted > -ERROR and -ERROR < topped_up < spent + ERROR:
        said = f"the granted balance is {_about(granted)} more, and calls took {_about(topped_up)} less from topped up"
        rank = 2 if granted >= PRECISION and _is_round(difference.total) else 5
        yield _finding(UNKNOWN_GRANT, difference.total, difference, said, fits=True, rank=rank)


def _unmetered(difference: Pots, evidence: Evidence) -> Iterator[Finding]:
    """Calls that were served and whose usage nobody saw; the estimate is a rule of thumb."""
    estimate = evidence.unmetered_cost
    if not evidence.unmetered_calls or difference.total > -PRECISION:
        return
    is_near = estimate <= -2 * difference.total <= 3 * estimate + 2 * ERROR and _is_usage(difference, evidence)
    said = (
        f"{evidence.unmetered_calls:,} calls are unmetered; by their estimates they cost about {_shown(estimate)}, or "
        "from half as much to half as much again"
    )
    amount = difference.total if is_near else -estimate
    yield _finding(UNMETERED, amount, difference, said, fits=is_near, rank=2)


def _usage(difference: Pots, evidence: Evidence) -> Iterator[Finding]:
    """Calls that only one side has."""
    total = difference.total
    if abs(total) < PRECISION or not _is_usage(difference, evidence):
        return
    if total < 0:
        said = (
            f"calls of {_about(-total)} went past the recorder: another program, another key, or a spool not delivered"
        )
        yield _finding(UNRECORDED, total, difference, said, fits=True, rank=3)
    else:
        said = f"calls of {_about(total)} are recorded that the vendor has not billed, or not yet"
        yield _finding(UNBILLED, total, difference, said, fits=True, rank=6)


def _is_usage(difference: Pots, evidence: Evidence) -> bool:
    """Whether the two balances differ as more or less usage would make them: granted goes before topped up."""
    granted, topped_up = difference
    has_grant = evidence.expected.granted >= PRECISION
    if difference.total < 0:
        from_grant = -min(evidence.expected.granted, -difference.total)
        came_since = any(
            credit.kind == GRANTED and (evidence.since is None or credit.effective_at > evidence.since)
            for credit in evidence.credits
        )
        late = came_since and abs(granted) < ERROR  # the call may have been before the grant
        return late or (abs(granted - from_grant) < ERROR and topped_up < ERROR)
    if has_grant:
        return abs(topped_up) < ERROR and granted > -ERROR
    return granted > -ERROR and topped_up > -ERROR


def _is_round(amount: int) -> bool:
    """Whether it is a whole number of the currency, as people pay in, within what printing leaves open."""
    rest = abs(amount) % UNITS
    return abs(amount) > UNITS // 2 and min(rest, UNITS - rest) < PRECISION


def _per_million(rate: int) -> str:
    return format_amount(rate * PER_MILLION)


def _between(low: int, high: int) -> str:
    return _shown(low) if low == high else f"{_shown(low)} to {_shown(high)}"


def _about(amount: int) -> str:
    """An amount that is known as exactly as the vendor prints: to the cent."""
    return format_amount((abs(amount) + PRECISION // 2) // PRECISION * PRECISION * (-1 if amount < 0 else 1))


_shown = format_amount
