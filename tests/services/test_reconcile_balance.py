"""The simulator's /user/balance agrees with the ledger at quiet instants, and each fault is told for what it is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core import reconciliation
from costmeter.core.errors import InputError, NotFoundError
from costmeter.core.money import UNITS
from costmeter.services.explain_observation import explain_observation
from costmeter.services.reconcile_balance import reconcile_balance
from costmeter.store import observations
from costmeter.store.engine import reading
from costmeter.store.observations import AGREED, EXPLAINED, OPEN, Observation
from tests.make import an_event, an_unmetered, book
from tests.twin_books import BEGIN, MILLION, OFF_PEAK, OURS, PEAK, VENDORS, TwinBooks, twin_books, wrong_book

DAY = timedelta(days=1)


@pytest.fixture
def twin(engine: Engine) -> Iterator[TwinBooks]:
    with twin_books(engine) as books:
        yield books


@pytest.fixture
def begun(twin: TwinBooks) -> TwinBooks:
    """Books with a top-up and two days of calls, that agree."""
    twin.credit("topped_up", "1000")
    for day in range(2):
        a_day(twin, day)
    assert twin.observe().status == AGREED
    return twin


def a_day(twin: TwinBooks, day: int, seed: int = 0) -> None:
    """Calls at peak and off-peak hours, of other sizes each day."""
    dice = random.Random(f"{seed} {day}")
    for time in (PEAK, OFF_PEAK):
        twin.to(day, time)
        twin.call(
            hit=dice.randrange(20 * MILLION), miss=dice.randrange(5 * MILLION), output=dice.randrange(2 * MILLION)
        )


def kinds(seen: Observation) -> list[str]:
    """The kinds of the explanations that fit, the likeliest first."""
    assert seen.status == OPEN, seen
    return [finding["kind"] for finding in seen.findings["findings"] if finding["fits"]]


def likeliest(seen: Observation) -> dict[str, Any]:
    first: dict[str, Any] = seen.findings["findings"][0]
    assert first["fits"], seen.findings
    return first


def cents(amount: str) -> str:
    return f"{Decimal(amount):.2f}"


def test_it_agrees_at_each_quiet_observation_of_a_month(twin: TwinBooks) -> None:
    """With two grants that expire, top-ups, an overdraft that is repaid, and calls that are recorded days late."""
    twin.credit("granted", "1.50", expires_at=BEGIN + 5 * DAY)
    twin.credit("topped_up", "12.34")
    late: list[dict[str, Any]] = []
    for day in range(19):
        a_day(twin, day)
        if day == 3:
            twin.credit("granted", "4.00", expires_at=BEGIN + 9 * DAY + OFF_PEAK)
        if day in (6, 12):
            twin.credit("topped_up", "15.00")
        if day in (8, 14):  # a call whose spool was away until the next day
            twin.call(output=MILLION, only=VENDORS)
            late.append(an_event(f"late-{day}", twin.clock.now().isoformat(), model="deepseek-flash"))
            assert kinds(twin.observe()) == [reconciliation.UNRECORDED]
            continue
        while late:
            twin.record(late.pop())
        seen = twin.observe()
        assert seen.status == AGREED, (day, seen.findings)
    with reading(twin.engine) as connection:
        assert observations.open_differences(connection, "default", twin.clock.now()) == []
        assert len(observations.listed(connection, "default", status=OPEN)) == 2


class TestFaults:
    def test_a_call_that_was_not_recorded(self, begun: TwinBooks) -> None:
        begun.to(2)
        begun.call(miss=300_000, output=100_000, only=VENDORS)
        seen = begun.observe()
        assert kinds(seen)[0] == reconciliation.UNRECORDED
        assert cents(likeliest(seen)["amount"]) in {"-0.10", "-0.11"}  # 0.105

    def test_a_call_that_was_not_recorded_and_took_from_a_grant_and_from_the_top_up(self, begun: TwinBooks) -> None:
        begun.credit("granted", "0.50")
        begun.to(2)
        begun.call(output=2 * MILLION, only=VENDORS)
        seen = begun.observe()
        assert kinds(seen) == [reconciliation.UNRECORDED]
        found = {name: cents(amount) for name, amount in seen.findings["difference"].items()}
        assert found == {"granted": "-0.50", "topped_up": "-0.70", "total": "-1.20"}

    def test_a_call_that_the_vendor_has_not_billed(self, begun: TwinBooks) -> None:
        begun.to(2)
        begun.call(output=123_456, only=OURS)
        assert reconciliation.UNBILLED in kinds(begun.observe())

    def test_a_top_up_entered_with_another_amount(self, begun: TwinBooks) -> None:
        begun.to(2)
        begun.credit("topped_up", "50", ours="500")
        a_day(begun, 3)
        seen = begun.observe()
        assert kinds(seen)[0] == reconciliation.WRONG_TOP_UP
        assert "is booked as 500.00; 50.00 would explain it" in likeliest(seen)["evidence"]

    def test_a_top_up_that_the_vendor_does_not_have(self, begun: TwinBooks) -> None:
        begun.to(2)
        begun.credit("topped_up", "50", only=OURS)
        seen = begun.observe()
        assert likeliest(seen)["kind"] == reconciliation.WRONG_TOP_UP
        assert "of 50.00 is booked, and the vendor does not have it" in likeliest(seen)["evidence"]

    def test_a_top_up_that_nobody_entered(self, begun: TwinBooks) -> None:
        begun.to(2)
        begun.credit("topped_up", "20", only=VENDORS)
        a_day(begun, 3)
        assert kinds(begun.observe())[0] == reconciliation.UNKNOWN_TOP_UP

    def test_a_grant_that_nobody_entered(self, begun: TwinBooks) -> None:
        begun.to(2)
        begun.credit("granted", "10", only=VENDORS)
        a_day(begun, 3)  # which the vendor takes from the grant
        seen = begun.observe()
        assert kinds(seen)[0] == reconciliation.UNKNOWN_GRANT
        assert cents(likeliest(seen)["amount"]) == "10.00"

    def test_a_grant_that_expired_at_the_vendors_and_not_here(self, begun: TwinBooks) -> None:
        begun.simulator.ledger.add_credit("granted", "5", expires_at=BEGIN + 3 * DAY)
        begun.credit("granted", "5", only=OURS)
        a_day(begun, 2)
        assert begun.observe().status == AGREED
        begun.to(3)
        begun.call(output=100_000)
        seen = begun.observe()
        assert kinds(seen)[0] == reconciliation.EXPIRY
        assert "has no expiry here" in likeliest(seen)["evidence"]

    def test_a_grant_that_expired_here_and_not_at_the_vendors(self, begun: TwinBooks) -> None:
        begun.simulator.ledger.add_credit("granted", "5", expires_at=BEGIN + 9 * DAY)
        begun.credit("granted", "5", only=OURS, expires_at=BEGIN + 3 * DAY)
        begun.to(3)
        begun.call(output=100_000)
        assert kinds(begun.observe())[0] == reconciliation.EXPIRY

    def test_a_clock_that_is_ahead_over_a_band_edge(self, begun: TwinBooks) -> None:
        begun.to(2, timedelta(hours=3, minutes=59))  # peak until 4
        begun.call(output=MILLION, ahead=timedelta(seconds=90))
        begun.clock.advance(timedelta(minutes=5))
        seen = begun.observe()
        assert kinds(seen)[0] == reconciliation.CLOCK
        assert likeliest(seen)["amount"] == "-0.60"
        assert "1 calls are near a band edge: by the vendor's clock they cost 0.60 more" in likeliest(seen)["evidence"]

    def test_a_rate_that_is_wrong_here(self, engine: Engine) -> None:
        """Seen on two days: the differences grow with the output at peak hours, and with nothing else."""
        with twin_books(engine, wrong_book()) as twin:
            twin.credit("topped_up", "1000")
            twin.to(0)
            twin.call(hit=MILLION, miss=MILLION)
            assert twin.observe().status == AGREED
            for day in range(1, 4):
                a_day(twin, day)
                seen = twin.observe()
            assert kinds(seen)[0] == reconciliation.PRICE
            said = likeliest(seen)["evidence"]
            assert "of output of deepseek-flash" in said
            assert "peak) are booked at 1.30 per million; 1.2" in said
            assert "over 3 observations alike" in said

    def test_a_call_whose_usage_nobody_saw(self, begun: TwinBooks) -> None:
        begun.to(2)
        begun.call(miss=MILLION, output=MILLION, only=VENDORS)
        estimate = {"input_tokens": 900_000, "output_tokens": 800_000}
        begun.record(an_unmetered("u", begun.clock.now().isoformat(), model="deepseek-flash", estimate=estimate))
        seen = begun.observe()
        assert kinds(seen) == [reconciliation.UNMETERED, reconciliation.UNRECORDED]
        assert "by their estimates they cost about 0.615" in likeliest(seen)["evidence"]
        assert seen.findings["fitting"] == 2

    def test_calls_that_are_not_posted(self, begun: TwinBooks) -> None:
        begun.to(2)
        begun.call(output=MILLION)
        seen = begun.observe(posted=False)
        assert (seen.unposted, kinds(seen)[0]) == (1, reconciliation.UNPOSTED)


def test_after_it_is_put_right_the_next_observation_settles_those_before(begun: TwinBooks) -> None:
    begun.to(2)
    begun.credit("topped_up", "20", only=VENDORS)
    seen = begun.observe()
    with reading(begun.engine) as connection:
        assert [one.number for one in observations.open_differences(connection, "default", seen.observed_at)] == [2]
        assert observations.open_differences(connection, "default", seen.observed_at - DAY) == []
    begun.credit("topped_up", "20", only=OURS)
    assert begun.observe().status == AGREED
    with reading(begun.engine) as connection:
        assert observations.open_differences(connection, "default", begun.clock.now()) == []


def test_an_explained_difference_is_open_no_more_and_a_new_one_is(begun: TwinBooks) -> None:
    begun.to(2)
    begun.credit("topped_up", "20", only=VENDORS)
    first, second = begun.observe(), begun.observe()
    explain_observation(begun.engine, "default", second.number, by="Ada", reason="a gift", now=begun.clock.now())
    with reading(begun.engine) as connection:
        assert observations.open_differences(connection, "default", begun.clock.now()) == []
        assert observations.get(connection, "default", first.number).status == OPEN
    assert begun.observe().status == EXPLAINED
    begun.call(output=MILLION, only=VENDORS)
    third = begun.observe()
    with reading(begun.engine) as connection:
        assert observations.open_differences(connection, "default", begun.clock.now()) == [third]


def test_a_price_is_told_beside_a_difference_that_was_explained_before(engine: Engine) -> None:
    with twin_books(engine, wrong_book()) as twin:
        twin.credit("topped_up", "1000")
        twin.credit("topped_up", "25", only=VENDORS)
        twin.to(0)
        twin.call(hit=MILLION, miss=MILLION)
        seen = twin.observe()
        explain_observation(engine, "default", seen.number, by="Ada", reason="known", now=twin.clock.now())
        for day in range(1, 4):
            a_day(twin, day)
            seen = twin.observe()
        assert kinds(seen)[0] == reconciliation.PRICE
        assert "over 3 observations alike" in likeliest(seen)["evidence"]


@pytest.mark.parametrize("sign", [-1, 1])
def test_less_than_the_last_printed_digit_agrees_and_that_digit_does_not(begun: TwinBooks, sign: int) -> None:
    exact = reconcile_balance(begun.engine, "default", begun.ask, book=book(), clock=begun.clock.now)
    total = exact.expected_topped_up

    def printed(amount: int) -> dict[str, Any]:
        text = f"{amount // UNITS}.{amount % UNITS:012d}"
        info = {"currency": "USD", "total_balance": text, "granted_balance": "0.00", "topped_up_balance": text}
        return {"balance_infos": [info, {**info, "currency": "CNY"}]}

    for amount, status in ((total + sign * (UNITS // 100 - 1), AGREED), (total + sign * UNITS // 100, OPEN)):
        seen = reconcile_balance(begun.engine, "default", partial(printed, amount), book=book(), clock=begun.clock.now)
        assert seen.status == status


def test_calls_that_end_while_the_vendor_is_asked_are_in_the_answer_or_not(begun: TwinBooks) -> None:
    begun.to(2)

    def ask_between(count: int) -> object:
        """A slow answer, which has the first `count` of three calls."""
        answer = begun.ask()
        for number in range(3):
            if number == count:
                answer = begun.ask()
            begun.clock.advance(timedelta(seconds=1))
            begun.call(output=MILLION)
        begun.post()
        begun.clock.advance(timedelta(seconds=1))
        return answer

    for count in range(3):
        seen = reconcile_balance(
            begun.engine, "default", partial(ask_between, count), book=book(), clock=begun.clock.now
        )
        assert seen.status == AGREED
        assert seen.version_before < seen.version


class TestRefusals:
    def test_an_account_without_a_balance_is_told_how_to_begin(self, twin: TwinBooks) -> None:
        twin.call(output=1)
        twin.simulator.ledger.add_credit("topped_up", "7")
        with pytest.raises(InputError, match=r"costmeter account open --account default --at .* --topped-up 7\.00"):
            twin.observe()

    def test_another_currency_is_refused_before_anybody_is_asked(self, begun: TwinBooks) -> None:
        with pytest.raises(InputError, match="currency 'CNY': account 'default' is kept in USD"):
            reconcile_balance(begun.engine, "default", pytest.fail, book=book(), clock=begun.clock.now, currency="CNY")

    def test_an_account_that_is_not_there_is_an_error(self, engine: Engine) -> None:
        with pytest.raises(NotFoundError):
            reconcile_balance(engine, "nobody", pytest.fail, book=book(), clock=lambda: BEGIN)
