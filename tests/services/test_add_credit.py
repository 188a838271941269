"""Adding credits: what is refused, what is found again, and what a credit entered late may not change."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import ConflictError, InputError
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.secrets import fingerprint
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine
from costmeter.store.tables import AccountRow, CreditBalanceRow, CreditRow, EntryRow, ExpiryRow, RepaymentRow
from tests.make import (
    NOW,
    an_event,
    at,
    balance,
    counted,
    give,
    grant,
    record,
    record_and_post,
    rows,
    splits,
    top_up,
    usd,
)
from tests.services.invariants import check_books

OPENING = "2025-03-01T00:00:00Z"
MOVED = (AccountRow, CreditRow, CreditBalanceRow, EntryRow, RepaymentRow, ExpiryRow)


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the books hold afterwards."""
    yield
    check_books(engine)


class TestWhatIsBooked:
    def test_a_credit_makes_its_account_and_is_the_first_of_its_sequence(self, engine: Engine) -> None:
        booked, is_new = give(engine, "topped_up", "5.00", OPENING, account="team")
        assert is_new
        assert booked.credit[1:] == ("topped_up", usd("5.00"), at(OPENING), None)
        (account,) = rows(engine, AccountRow)
        assert (account["account"], account["currency"], account["version"]) == ("team", "USD", 1)
        assert balance(engine, account="team") == ("0.00", "5.00")

    def test_it_counts_from_now_on_unless_said_otherwise(self, engine: Engine) -> None:
        booked, _ = give(engine, "granted", "5.00", None)
        assert booked.credit.effective_at == at(NOW)

    def test_any_offset_is_the_same_instant(self, engine: Engine) -> None:
        beijing = datetime(2025, 3, 1, 8, tzinfo=timezone(timedelta(hours=8)))
        new = NewCredit("default", "granted", usd("1.00"), None, beijing, beijing + timedelta(days=1), "r")
        for expected in (True, False):
            booked, is_new = add_credit(engine, new, by="finance", home=Home(), now=at(NOW))
            assert is_new is expected
            assert booked.credit.effective_at == datetime(2025, 3, 1, tzinfo=UTC)

    def test_without_a_reference_it_is_booked_every_time(self, engine: Engine) -> None:
        for _ in range(2):
            top_up(engine, "5.00", OPENING)
        assert balance(engine) == ("0.00", "10.00")

    def test_its_currency_makes_the_account(self, engine: Engine) -> None:
        booked, _ = give(engine, "granted", "5.00", OPENING, currency="CNY")
        assert booked.currency == "CNY"
        assert rows(engine, AccountRow)[0]["currency"] == "CNY"

    def test_the_settings_make_it_otherwise(self, engine: Engine) -> None:
        give(engine, "granted", "5.00", OPENING, home=Home("CNY", "Asia/Shanghai"))
        (account,) = rows(engine, AccountRow)
        assert (account["currency"], account["timezone"]) == ("CNY", "Asia/Shanghai")
        assert rows(engine, EntryRow)[0]["billing_month"] == "2025-03"

    def test_the_greatest_amount_is_taken(self, engine: Engine) -> None:
        new = NewCredit("default", "topped_up", MAX_AMOUNT)
        assert add_credit(engine, new, by="finance", home=Home(), now=at(NOW))[1]
        assert balance(engine) == ("0.00", "9223372.036854775807")

    def test_a_grant_that_has_expired_already_is_posted_as_expired(self, engine: Engine) -> None:
        grant(engine, "5.00", OPENING, "2025-03-02T00:00:00Z")
        assert [row["amount"] for row in rows(engine, ExpiryRow)] == [usd("5.00")]
        assert balance(engine) == ("0.00", "0.00")
        assert balance(engine, OPENING) == ("5.00", "0.00")

    def test_a_key_in_a_reference_is_not_stored(self, engine: Engine) -> None:
        key = "sk-0123456789abcdef"
        for expected in (True, False):
            assert give(engine, "granted", "5.00", OPENING, reference=key)[1] is expected
        assert key not in str(rows(engine, CreditRow))


class TestTheSameReference:
    FIRST: dict[str, Any] = {"expires_at": "2025-04-01T00:00:00Z", "reference": "welcome"}  # noqa: RUF012  not changed

    def test_with_the_same_content_it_is_found(self, engine: Engine) -> None:
        booked, is_new = give(engine, "granted", "5.00", OPENING, **self.FIRST)
        again, is_new_again = give(engine, "granted", "5.00", OPENING, **self.FIRST, now="2025-03-20T00:00:00Z")
        assert (is_new, is_new_again) == (True, False)
        assert again == booked
        assert counted(engine, CreditRow, EntryRow) == [1, 1]

    def test_an_instant_left_out_says_nothing(self, engine: Engine) -> None:
        booked, _ = give(engine, "granted", "5.00", None, **self.FIRST)
        again, is_new = give(engine, "granted", "5.00", None, **self.FIRST, now="2025-03-20T00:00:00Z")
        assert (again, is_new) == (booked, False)

    @pytest.mark.parametrize(
        ("kind", "amount", "effective_at", "expires_at"),
        [
            ("granted", "5.01", OPENING, "2025-04-01T00:00:00Z"),
            ("topped_up", "5.00", OPENING, None),
            ("granted", "5.00", "2025-03-01T00:00:00.000001Z", "2025-04-01T00:00:00Z"),
            ("granted", "5.00", OPENING, "2025-04-02T00:00:00Z"),
            ("granted", "5.00", OPENING, None),
        ],
    )
    def test_with_other_content_it_is_a_conflict_and_nothing_changes(
        self, engine: Engine, kind: str, amount: str, effective_at: str, expires_at: str | None
    ) -> None:
        give(engine, "granted", "5.00", OPENING, **self.FIRST)
        before = [rows(engine, table) for table in MOVED]
        with pytest.raises(ConflictError, match="reference 'welcome': was used before for another credit"):
            give(engine, kind, amount, effective_at, expires_at=expires_at, reference="welcome")
        assert [rows(engine, table) for table in MOVED] == before

    def test_it_belongs_to_its_account(self, engine: Engine) -> None:
        for account in ("a", "b"):
            assert give(engine, "granted", "5.00", OPENING, account=account, reference="welcome")[1]

    def test_sent_by_many_at_once_it_is_booked_once(self, engine: Engine, database_url: str) -> None:
        def send(_: int) -> bool:
            own = open_engine(database_url)
            try:
                return give(own, "topped_up", "5.00", OPENING, reference="invoice 7")[1]
            finally:
                own.dispose()

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(send, range(6))) == [False] * 5 + [True]
        assert balance(engine) == ("0.00", "5.00")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"amount": 0}, "amount '0.00': a credit gives more than 0"),
            ({"amount": -1}, "amount '-0.000000000001': a credit gives more than 0"),
            ({"kind": "gift"}, "kind 'gift': use one of granted, topped_up"),
            ({"currency": "EUR"}, "currency 'EUR': use one of USD, CNY"),
            ({"account": ""}, "account '': an account is named by 1 to 64 printable characters"),
            ({"kind": "topped_up"}, "expires_at '2025-04-01T00:00:00Z': topped-up balance does not expire"),
            ({"expires_at": at(OPENING)}, "expires_at '2025-03-01T00:00:00Z': must be after effective_at 2025-03-01"),
            ({"expires_at": at("2025-02-28T00:00:00Z")}, "must be after effective_at 2025-03-01T00:00:00Z"),
            ({"effective_at": None, "expires_at": at(NOW)}, "must be after effective_at 2025-03-10T00:00:00Z"),
            ({"effective_at": datetime(2025, 3, 1)}, "has no time zone"),  # noqa: DTZ001  naive on purpose
            ({"expires_at": datetime(2025, 4, 1)}, "has no time zone"),  # noqa: DTZ001  naive on purpose
            ({"reference": "r" * 257}, "write 1 to 256 characters"),
            ({"reference": ""}, "write 1 to 256 characters"),
        ],
    )
    def test_each_bad_value_has_its_clear_error_and_makes_no_account(
        self, engine: Engine, more: dict[str, Any], message: str
    ) -> None:
        new = NewCredit("default", "granted", usd("5.00"), None, at(OPENING), at("2025-04-01T00:00:00Z"))
        with pytest.raises(InputError) as caught:
            add_credit(engine, new._replace(**more), by="finance", home=Home(), now=at(NOW))
        assert message in str(caught.value)
        assert counted(engine, *MOVED) == [0] * len(MOVED)

    def test_another_currency_than_the_accounts(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        before = [rows(engine, table) for table in MOVED]
        with pytest.raises(InputError, match="account 'default' is kept in USD; two currencies are never summed"):
            give(engine, "topped_up", "5.00", OPENING, currency="CNY")
        assert [rows(engine, table) for table in MOVED] == before


class TestEnteredLate:
    """What pays nothing that is posted changes nothing that is posted; test_fold_again.py has what does."""

    def test_a_grant_that_expired_before_the_calls_is_taken(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))
        grant(engine, "5.00", OPENING, "2025-03-03T12:00:00Z")
        assert splits(engine) == {"a": ("0.00", "1.10", "0.00", "0.00")}

    def test_a_newer_top_up_behind_the_one_that_paid_is_taken(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))
        top_up(engine, "5.00", "2025-03-02T00:00:00Z")
        assert balance(engine) == ("0.00", "8.90")

    def test_a_grant_behind_the_grant_that_paid_is_taken(self, engine: Engine) -> None:
        grant(engine, "5.00", OPENING, "2025-04-01T00:00:00Z")
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))
        grant(engine, "5.00", OPENING, "2025-04-02T00:00:00Z")
        grant(engine, "5.00", OPENING)
        assert balance(engine) == ("13.90", "0.00")

    def test_one_after_the_last_overdrawn_call_repays_it(self, engine: Engine) -> None:
        top_up(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"))
        top_up(engine, "5.00", "2025-03-03T12:00:00.000001Z")
        assert balance(engine) == ("0.00", "4.90")

    def test_calls_that_wait_are_not_posted_yet_and_stand_in_no_ones_way(self, engine: Engine) -> None:
        record(engine, an_event("a", "2025-03-03T12:00:00Z"))
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("b", "2025-03-03T13:00:00Z"))
        assert splits(engine) == {"a": ("0.00", "1.10", "0.00", "0.00"), "b": ("0.00", "1.10", "0.00", "0.00")}

    def test_unpriced_and_free_calls_stand_in_no_ones_way(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a", model="deepseek-9"), an_event("b", output=0))
        top_up(engine, "5.00", OPENING)
        assert balance(engine) == ("0.00", "5.00")


class TestWithoutAStart:
    def test_it_is_taken_on_an_account_whose_calls_are_ahead_of_our_clock(self, engine: Engine) -> None:
        record_and_post(engine, an_event("ahead", "2025-03-10T00:04:00Z"), now="2025-03-10T00:00:00Z")
        new = NewCredit("default", "topped_up", usd("5.00"))
        booked, created = add_credit(engine, new, by="finance", home=Home(), now=at("2025-03-10T00:00:00Z"))
        assert created
        assert booked.credit.effective_at == at("2025-03-10T00:04:00.000001Z")

    def test_a_key_given_as_an_account_is_known_by_its_fingerprint_alone(self, engine: Engine) -> None:
        new = NewCredit("sk-live-0123456789abcdef", "granted", usd("1.00"))
        add_credit(engine, new, by="finance", home=Home(), now=at("2025-03-10T00:00:00Z"))
        assert [row["account"] for row in rows(engine, AccountRow)] == [fingerprint("sk-live-0123456789abcdef")]
