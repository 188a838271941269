"""An account whose ledger does not add up is frozen: recorded, not posted, until somebody answers for it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, text

from costmeter.core.errors import FrozenError, InputError
from costmeter.services.release_account import release_account
from costmeter.services.verify import Finding, count_unverified, verify
from costmeter.store import accounts, checkpoints, freezes
from costmeter.store.engine import reading
from costmeter.store.freezes import Freeze
from costmeter.store.tables import CheckpointRow, CreditBalanceRow, EventRow, FreezeRow, PendingRow
from tests.make import an_event, at, balance, grant, post, record, record_and_post, rows, splits, top_up
from tests.services.invariants import check_books
from tests.services.tamperings import of, tamper

NOW, LATER = "2025-03-10T00:00:00Z", "2025-03-11T00:00:00Z"
EARLY = "2025-03-03T12:00:00Z"


def checked(engine: Engine, names: Sequence[str] | None = None, full: bool = False) -> int:
    """How many charges a clean verify looked at."""
    counted: list[int] = []
    assert verify(engine, names, full=full, now=at(NOW), progress=counted.append) == []
    return sum(counted)


def frozen(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return [one.account for one in accounts.listed(connection) if one.frozen_at is not None]


def history(engine: Engine, account: str = "default") -> list[Freeze]:
    with reading(engine) as connection:
        return freezes.of_account(connection, account)


def release(engine: Engine, account: str = "default", reason: str = "looked at") -> Freeze:
    return release_account(engine, account, by="Ada", reason=reason, now=at(LATER))


@pytest.fixture
def begun(engine: Engine) -> Engine:
    """Credits and three calls, one of which took from two credits."""
    grant(engine, "1.50", "2025-03-01T00:00:00Z", "2025-03-06T00:00:00Z", now="2025-03-01T00:00:00Z")
    top_up(engine, "1.00", "2025-03-01T00:00:00Z", now="2025-03-01T00:00:00Z")
    record_and_post(engine, an_event("a", EARLY), an_event("b", EARLY), now="2025-03-04T00:00:00Z")
    record_and_post(engine, an_event("other", EARLY, account="team"), now="2025-03-04T00:00:00Z")
    return engine


def go_on(engine: Engine) -> None:
    """Overdraft, its repayment, a late call, a grant that expires, and two calls more."""
    record_and_post(engine, an_event("c", "2025-03-04T12:00:00Z"), now="2025-03-05T00:00:00Z")
    top_up(engine, "5.00", "2025-03-06T00:00:00Z", now="2025-03-06T00:00:00Z")
    grant(engine, "2.00", "2025-03-06T00:00:00Z", "2025-03-08T00:00:00Z", now="2025-03-06T00:00:00Z")
    record_and_post(engine, an_event("d", "2025-03-06T12:00:00Z"), now="2025-03-07T00:00:00Z")
    post(engine, now="2025-03-08T00:00:00Z")
    record_and_post(engine, an_event("late", "2025-03-07T12:00:00Z", response_id="r-1"), now="2025-03-09T00:00:00Z")


class TestCheckpoints:
    def test_the_usual_run_looks_at_what_is_new(self, begun: Engine) -> None:
        assert count_unverified(begun) == 5, "two credits and three charges"
        assert checked(begun) == 3
        assert (checked(begun), count_unverified(begun)) == (0, 0)
        go_on(begun)
        assert checked(begun) == 3
        assert (checked(begun), checked(begun, full=True)) == (0, 6)
        check_books(begun)

    def test_what_it_reached_is_what_a_full_run_reaches(self, begun: Engine) -> None:
        checked(begun)
        go_on(begun)
        checked(begun)
        usual = rows(begun, CheckpointRow, CheckpointRow.account)
        checked(begun, full=True)
        assert rows(begun, CheckpointRow, CheckpointRow.account) == usual

    def test_it_can_be_dropped(self, begun: Engine) -> None:
        checked(begun)
        kept = rows(begun, CheckpointRow, CheckpointRow.account)
        with begun.begin() as connection:
            connection.execute(text("DELETE FROM checkpoint"))
        assert checked(begun) == 3
        assert rows(begun, CheckpointRow, CheckpointRow.account) == kept

    def test_each_account_has_its_own(self, begun: Engine) -> None:
        assert checked(begun, ["team"]) == 1
        assert checked(begun) == 2

    def test_what_was_changed_behind_it_is_found_by_a_full_run(self, begun: Engine) -> None:
        checked(begun)
        tamper(begun, "UPDATE usage_event SET output_tokens = output_tokens + 1 WHERE event_id = 'a'")
        assert checked(begun) == 0
        assert {finding.promise for finding in verify(begun, full=True, now=at(NOW))} == {3, 5, 6}

    @pytest.mark.parametrize(
        ("statement", "promise", "says"),
        [
            ("DELETE FROM usage_event WHERE event_id = 'late'", 1, "a charge has no measured call"),
            (f"DELETE FROM identity WHERE event_key = {of('late')}", 1, "the event id of an event does not stand for"),
            ("DELETE FROM charge WHERE seq = (SELECT max(seq) FROM charge)", 1, "neither charged nor waiting: late"),
            ("UPDATE charge SET tariff = 'x' WHERE seq = (SELECT max(seq) FROM charge)", 3, "of late has tariff x"),
            (
                f"UPDATE deduction SET amount = amount - 1 WHERE event_key = {of('late')}",
                4,
                "of late was not paid in the order",
            ),
            ("UPDATE repayment SET amount = amount - 1", 4, "is not what the topped-up credits owed"),
            ("UPDATE credit SET amount = amount + 1 WHERE amount = 2000000000000", 5, "are not those that it sealed"),
            (
                "UPDATE journal_entry SET billing_month = '2025-04' WHERE seq = (SELECT max(seq) FROM journal_entry)",
                5,
                "breaks the chain of digests",
            ),
            ("DELETE FROM credit_balance WHERE remaining = 0", 6, "is kept as None, its facts give CreditBalance"),
            ("UPDATE account SET version = version + 1 WHERE account = 'default'", 6, "the account is kept at"),
        ],
    )
    def test_the_usual_run_finds_what_is_wrong_with_what_is_new(
        self, begun: Engine, statement: str, promise: int, says: str
    ) -> None:
        checked(begun)
        go_on(begun)
        tamper(begun, statement)

        said = [finding.what for finding in verify(begun, now=at(NOW)) if finding.promise == promise]

        assert any(says in what for what in said), said

    @pytest.mark.parametrize(
        ("statement", "promise"),
        [
            ("UPDATE credit_balance SET remaining = remaining + 1 WHERE credit_id = 2", 6),
            ("UPDATE account SET overdraft = 5 WHERE account = 'default'", 6),
            ("INSERT INTO pending SELECT account, event_key, completed_at FROM usage_event WHERE event_id = 'a'", 1),
        ],
        ids=["a balance", "the overdraft", "what waits"],
    )
    def test_the_usual_run_looks_at_what_is_kept_for_speed_though_nothing_is_new(
        self, begun: Engine, statement: str, promise: int
    ) -> None:
        checked(begun)
        tamper(begun, statement)
        assert {finding.promise for finding in verify(begun, now=at(NOW))} == {promise}

    def test_a_run_that_fails_does_not_move_it(self, begun: Engine) -> None:
        checked(begun)
        kept = rows(begun, CheckpointRow, CheckpointRow.account)
        go_on(begun)
        tamper(begun, "UPDATE account SET overdraft = 5 WHERE account = 'default'")
        found = verify(begun, now=at(NOW))
        assert rows(begun, CheckpointRow, CheckpointRow.account) == kept
        assert verify(begun, now=at(NOW)) == found, "it is found again"

    def test_keys_that_overlap_are_looked_at_again(self) -> None:
        key = (1_000_000_000_000).to_bytes(6) + bytes(range(10))
        assert checkpoints.before(key) == (999_999_940_000).to_bytes(6) + bytes(10)
        assert checkpoints.before(b"") == bytes(16)


class TestFrozen:
    @pytest.fixture
    def broken(self, begun: Engine) -> Engine:
        tamper(begun, "UPDATE credit_balance SET remaining = remaining + 5 WHERE credit_id = 2")
        assert [finding.promise for finding in verify(begun, now=at(NOW))] == [6]
        return begun

    def test_an_account_that_fails_is_frozen_with_the_reason(self, broken: Engine) -> None:
        (made,) = history(broken)
        assert (made.number, made.kind, made.decided_by, made.decided_at) == (1, "frozen", "verify", at(NOW))
        assert made.reason.startswith("promise 6: credit 2 is kept as CreditBalance(")
        assert frozen(broken) == ["default"]

    def test_it_is_frozen_once_and_others_are_not(self, broken: Engine) -> None:
        assert len(verify(broken, now=at(LATER))) == 1
        assert len(history(broken)) == 1
        assert history(broken, "team") == []

    def test_its_calls_are_recorded_and_not_posted(self, broken: Engine) -> None:
        before = rows(broken, CreditBalanceRow, CreditBalanceRow.credit_id)
        bodies = an_event("c", EARLY), an_event("other-2", EARLY, account="team")
        record(broken, *bodies, now=NOW)

        assert (post(broken), post(broken, "team")) == (0, 1)
        assert [row["account"] for row in rows(broken, PendingRow)] == ["default"]
        assert rows(broken, CreditBalanceRow, CreditBalanceRow.credit_id) == before

    def test_nothing_is_added_to_its_ledger(self, broken: Engine) -> None:
        says = "account 'default' is frozen since 2025-03-10T00:00:00Z, as its ledger failed verify: nothing is posted"
        with pytest.raises(FrozenError, match=says):
            top_up(broken, "1.00", NOW)
        assert top_up(broken, "1.00", NOW, account="team")


class TestReleased:
    def test_what_is_kept_beside_the_facts_is_rebuilt(self, begun: Engine) -> None:
        tamper(begun, "UPDATE credit_balance SET remaining = remaining + 5 WHERE credit_id = 2")
        tamper(begun, "UPDATE account SET overdraft = 7, version = 3 WHERE account = 'default'")
        tamper(begun, "DELETE FROM credit_balance WHERE credit_id = 1")
        verify(begun, now=at(NOW))
        record(begun, an_event("c", EARLY), now=NOW)

        release(begun)

        assert (post(begun, now=LATER), frozen(begun)) == (1, [])
        check_books(begun)
        assert checked(begun, full=True) == 4, "nothing is broken any more"

    def test_who_released_it_when_and_why_is_kept(self, begun: Engine) -> None:
        tamper(begun, "UPDATE account SET overdraft = 7 WHERE account = 'default'")
        verify(begun, now=at(NOW))
        release(begun, reason="a restored backup")
        assert history(begun)[1:] == [Freeze(2, "released", at(LATER), "Ada", "a restored backup")]

    def test_facts_stay_as_they_are_and_posting_goes_on(self, begun: Engine) -> None:
        """What cannot be put right is answered for: the usual run is clean, a full one tells it and does not freeze."""
        tamper(begun, f"UPDATE charge SET tariff = 'x', granted = 0, topped_up = cost WHERE event_key = {of('a')}")
        verify(begun, now=at(NOW))
        release(begun)
        go_on(begun)

        assert checked(begun) == 3
        assert {finding.promise for finding in verify(begun, full=True, now=at(LATER))} >= {3, 4}
        assert (frozen(begun), len(history(begun))) == ([], 2)

    def test_what_breaks_after_it_freezes_again(self, begun: Engine) -> None:
        tamper(begun, f"UPDATE charge SET tariff = 'x' WHERE event_key = {of('a')}")
        verify(begun, now=at(NOW))
        release(begun)
        go_on(begun)
        tamper(begun, f"UPDATE charge SET tariff = 'y' WHERE event_key = {of('late')}")

        verify(begun, now=at(LATER), full=True)

        assert [one.kind for one in history(begun)] == ["frozen", "released", "frozen"]
        assert "of late has tariff y" in history(begun)[2].reason

    def test_calls_folded_again_do_not_undo_it(self, begun: Engine) -> None:
        """A late credit pays for what came before the release too: what was wrong there is still answered for."""
        tamper(begun, f"UPDATE charge SET tariff = 'x' WHERE event_key = {of('a')}")
        verify(begun, now=at(NOW))
        release(begun)
        go_on(begun)
        grant(begun, "9.00", "2025-03-03T00:00:00Z", "2025-03-04T23:00:00Z", now=LATER, account="team")
        top_up(begun, "0.10", "2025-03-06T06:00:00Z", now=LATER)
        checked(begun)
        grant(begun, "9.00", "2025-03-04T00:00:00Z", "2025-03-06T00:00:00Z", now=LATER)  # c is folded again
        assert checked(begun) > 0
        assert frozen(begun) == []
        assert {finding.promise for finding in verify(begun, full=True, now=at(LATER))} >= {3}
        assert frozen(begun) == []

    def test_a_wrong_price_that_is_booked_again_is_a_new_fact(self, begun: Engine) -> None:
        tamper(begun, f"UPDATE charge SET tariff = 'x' WHERE event_key = {of('a')}")
        verify(begun, now=at(NOW))
        release(begun)
        grant(begun, "9.00", "2025-03-01T00:00:00Z", "2025-03-04T00:00:00Z", now=LATER)  # pays a in place of others
        found = verify(begun, now=at(LATER))
        assert {(finding.promise, "of a has tariff x" in finding.what) for finding in found} == {(3, True)}
        assert frozen(begun) == ["default"]
        release(begun)
        assert checked(begun) == 0

    def test_a_dropped_checkpoint_does_not_undo_it(self, begun: Engine) -> None:
        tamper(begun, f"UPDATE charge SET tariff = 'x' WHERE event_key = {of('a')}")
        verify(begun, now=at(NOW))
        release(begun)
        go_on(begun)
        with begun.begin() as connection:
            connection.execute(text("DELETE FROM checkpoint"))
        assert checked(begun, ["default"]) == 3

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM pending",
            "INSERT INTO pending SELECT account, event_key, completed_at FROM usage_event WHERE event_id = 'a'",
        ],
        ids=["forgotten", "charged already"],
    )
    def test_what_waits_is_what_has_no_charge(self, begun: Engine, statement: str) -> None:
        record(begun, an_event("waits", EARLY), now=NOW)
        tamper(begun, statement)
        assert {finding.promise for finding in verify(begun, now=at(NOW))} == {1}

        release(begun)

        assert post(begun, now=LATER) == 1
        assert sorted(splits(begun)) == ["a", "b", "waits"]
        assert checked(begun, full=True) == 4

    def test_a_credit_that_gave_more_than_it_had_cannot_be_answered_for(self, begun: Engine) -> None:
        tamper(begun, f"UPDATE deduction SET amount = amount * 9 WHERE event_key = {of('a')}")
        verify(begun, now=at(NOW))
        with pytest.raises(FrozenError, match="credit 1 of account 'default' gave more than it had"):
            release(begun)
        assert frozen(begun) == ["default"]

    def test_only_what_is_frozen_is_released(self, begun: Engine) -> None:
        with pytest.raises(InputError, match="account 'default': is not frozen; there is nothing to release"):
            release(begun)
        verify(begun, now=at(NOW))
        with pytest.raises(InputError, match="reason '': write 1 to 256 characters"):
            release(begun, reason="")
        assert rows(begun, FreezeRow) == []


def test_findings_of_one_account_are_told_as_before(begun: Engine) -> None:
    tamper(begun, "UPDATE account SET overdraft = 7 WHERE account = 'team'")
    found = verify(begun, now=at(NOW))
    assert [type(finding) for finding in found] == [Finding]
    assert (found[0].account, balance(begun)) == ("team", ("0.00", "0.30"))
    assert len(rows(begun, EventRow)) == 3
