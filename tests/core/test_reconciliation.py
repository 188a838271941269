"""What explanations say of themselves, whatever the difference and the evidence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.ledger import GRANTED, TOPPED_UP
from costmeter.core.money import UNITS
from costmeter.core.observed_balance import PRECISION, Pots
from costmeter.core.reconciliation import (
    CLOCK,
    ERROR,
    EXPIRY,
    PRICE,
    UNEXPLAINED,
    UNPOSTED,
    UNRECORDED,
    Bucket,
    Evidence,
    Held,
    Stretch,
    explain,
)
from tests.make import at

SINCE, NOW, LATER = at("2026-10-01T00:00:00Z"), at("2026-10-05T00:00:00Z"), at("2026-10-06T00:00:00Z")
OUTPUT = Bucket("deepseek-flash", "flash", "peak", "output", 1_200_000)
INPUT = Bucket("deepseek-flash", "flash", "peak", "input.cache_miss", 300_000)
MILLION = 10**6

amounts = st.integers(-50 * UNITS, 50 * UNITS)
positive = st.integers(0, 50 * UNITS)
instants = st.sampled_from([None, SINCE, NOW, LATER])
held = st.builds(
    Held, st.just("one"), st.just(GRANTED), positive, st.sampled_from([SINCE, NOW]), instants, positive, positive
)
held |= st.builds(Held, st.just("two"), st.just(TOPPED_UP), positive, st.just(NOW), st.none(), positive, positive)
stretch = st.builds(Stretch, amounts, st.dictionaries(st.sampled_from([OUTPUT, INPUT]), st.integers(0, 10**9)))
evidence = st.builds(
    Evidence, since=st.sampled_from([None, SINCE]), at=st.just(NOW), expected=st.builds(Pots, positive, amounts),
    credits=st.lists(held, max_size=3), stretches=st.lists(stretch, max_size=3),
    other_rates=st.just({("deepseek-flash", "output"): frozenset({600_000, 1_200_000})}),
    clock_calls=st.integers(0, 2), clock_range=st.tuples(positive, positive).map(lambda two: (min(two), max(two))),
    unmetered_calls=st.integers(0, 2), unmetered_cost=positive,
    unposted_calls=st.integers(0, 2), unposted_cost=positive,
)  # fmt: skip


@given(st.builds(Pots, amounts, amounts), evidence)
def test_what_fits_leaves_no_more_than_printing_does_and_comes_first(difference: Pots, known: Evidence) -> None:
    found = explain(difference, known)
    assert found
    for finding in found:
        assert finding.amount + finding.left == difference.total
        assert not finding.fits or abs(finding.left) < ERROR
        assert finding.evidence
    assert [finding.fits for finding in found] == sorted((finding.fits for finding in found), reverse=True)


def test_where_nothing_is_known_it_says_so() -> None:
    """The two balances moved against each other, which no usage and no credit does."""
    (finding,) = explain(Pots(-3 * UNITS, 3 * UNITS), Evidence(SINCE, NOW, Pots(UNITS, 0)))
    assert (finding.kind, finding.fits, finding.left) == (UNEXPLAINED, False, 0)


def test_a_part_is_told_behind_what_explains_it_all() -> None:
    known = Evidence(SINCE, NOW, Pots(0, 100 * UNITS), unposted_calls=2, unposted_cost=UNITS)
    unrecorded, unposted = explain(Pots(0, -5 * UNITS), known)
    assert (unrecorded.kind, unrecorded.fits) == (UNRECORDED, True)
    assert (unposted.kind, unposted.fits, unposted.left) == (UNPOSTED, False, -4 * UNITS)


def test_usage_that_leaves_a_grant_untouched_is_none() -> None:
    assert UNRECORDED not in {f.kind for f in explain(Pots(0, -UNITS), Evidence(SINCE, NOW, Pots(UNITS, UNITS)))}


def test_what_a_grant_gave_after_it_was_gone_at_the_vendors_came_from_the_top_up_there() -> None:
    grant = Held("welcome", GRANTED, 10 * UNITS, SINCE, LATER, 4 * UNITS, 3 * UNITS)
    known = Evidence(SINCE, NOW, Pots(4 * UNITS, 90 * UNITS), [grant])
    first = explain(Pots(-4 * UNITS, -2 * UNITS), known)[0]
    assert (first.kind, first.fits, first.amount) == (EXPIRY, True, -6 * UNITS)


class TestClock:
    def known(self, low: int, high: int) -> Evidence:
        return Evidence(SINCE, NOW, Pots(0, 90 * UNITS), clock_calls=2, clock_range=(low, high))

    def test_the_amount_lies_between_what_a_second_either_way_makes(self) -> None:
        first = explain(Pots(0, -3 * UNITS), self.known(2 * UNITS, 4 * UNITS))[0]
        assert (first.kind, first.amount, first.left) == (CLOCK, -3 * UNITS, 0)

    def test_beyond_them_it_explains_a_part(self) -> None:
        clock = explain(Pots(0, -5 * UNITS), self.known(2 * UNITS, 4 * UNITS))[-1]
        assert (clock.kind, clock.fits, clock.left) == (CLOCK, False, -UNITS)

    def test_less_cost_at_the_vendors_is_more_balance(self) -> None:
        first = explain(Pots(0, 3 * UNITS), self.known(-3 * UNITS, -3 * UNITS))[0]
        assert (first.kind, first.fits) == (CLOCK, True)


class TestPrice:
    def test_differences_that_grow_with_one_meter_are_of_its_price(self) -> None:
        """A tenth of a dollar too much for each million of output, seen twice; the input is another from day to day."""
        stretches = [Stretch(300 * PRECISION, {OUTPUT: 30 * MILLION, INPUT: 1}),
                     Stretch(10 * PRECISION, {OUTPUT: MILLION, INPUT: 90 * MILLION})]  # fmt: skip
        known = Evidence(SINCE, NOW, Pots(0, UNITS), stretches=stretches)
        first = explain(Pots(0, 310 * PRECISION), known)[0]
        assert (first.kind, first.fits) == (PRICE, True)
        assert "31,000,000 tokens of output" in first.evidence
        assert "booked at 1.20 per million; 1.10 would explain it, over 2 observations alike" in first.evidence

    def test_one_observation_is_enough_where_the_price_book_has_that_rate(self) -> None:
        known = Evidence(SINCE, NOW, Pots(0, UNITS), stretches=[Stretch(60 * UNITS, {OUTPUT: 100 * MILLION})])
        assert PRICE not in {finding.kind for finding in explain(Pots(0, 60 * UNITS), known)}
        rates = {(OUTPUT.model, OUTPUT.meter): frozenset({600_000, 1_200_000})}
        said = {f.kind: f.evidence for f in explain(Pots(0, 60 * UNITS), known._replace(other_rates=rates))}
        assert "0.60 would explain it, which the price book has at another time" in said[PRICE]

    def test_one_jump_is_no_price(self) -> None:
        stretches = [Stretch(0, {OUTPUT: 30 * MILLION}), Stretch(-UNITS, {OUTPUT: 30 * MILLION})]
        known = Evidence(SINCE, NOW, Pots(0, UNITS), stretches=stretches)
        assert PRICE not in {finding.kind for finding in explain(Pots(0, -UNITS), known)}
