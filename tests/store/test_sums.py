"""A report says the same whether it is read from charges or from rollups, and reads the cheapest that can say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, delete, update

from costmeter.reports.spend import spend_report
from costmeter.services.rebuild_projections import rebuild_projections, rebuild_rollups
from costmeter.services.verify import verify
from costmeter.store import accounts, schema
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction, reading
from costmeter.store.scope import Scope
from costmeter.store.sums import rollup_for
from costmeter.store.tables import AccountRow, DayRow, MonthRow, QuarterRow, Table
from tests.make import MILLION, an_event, at, counted, downgrade, give, grant, record_and_post, rows, top_up
from tests.services.invariants import close

# Bands turn at 00:30 and 16:30, Kolkata's and Kathmandu's days at half and quarter hours of UTC.
TIMES: tuple[str, ...] = (
    "2025-02-28T18:29:59Z",
    "2025-02-28T18:30:00Z",
    "2025-03-01T00:29:59Z",
    "2025-03-01T16:30:00Z",
)
TIMES += ("2025-03-09T06:59:59.999999Z", "2025-03-30T01:00:00Z", "2025-03-31T18:15:00Z", "2025-03-31T23:59:59Z")
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Asia/Kathmandu")
ROLLUPS: tuple[type[Table], ...] = (MonthRow, DayRow, QuarterRow)
BY = ("account", "project", "api_key", "model", "band", "day", "hour")


@pytest.fixture
def spent(engine: Engine) -> Engine:
    """Two accounts of two zones: attributed and not, priced and not, granted and overdrawn, two projects and keys."""
    for number, (account, zone_name) in enumerate((("a", "UTC"), ("k", "Asia/Kolkata"))):
        home = Home("USD", zone_name)
        give(engine, "granted", "3.00", "2025-02-28T00:00:00Z", account=account, home=home)
        give(engine, "topped_up", "5.00", "2025-03-01T00:00:00Z", account=account, home=home)
        calls = [
            an_event(
                f"{account}-{position}",
                moment,
                hit=position,
                miss=7,
                output=MILLION + number,
                account=account,
                project=None if position % 3 == 0 else f"p{position % 3}",
                api_key="backend" if position % 2 else None,
                user=f"u{position % 2}",
                model="deepseek-chat" if position % 4 else "no-such-model",
            )
            for position, moment in enumerate(TIMES)
        ]
        record_and_post(engine, *calls, now="2025-04-02T00:00:00Z", home=home)
    return engine


def told(engine: Engine, scope: Scope, by: Sequence[str], timezone: str | None = None) -> dict[str, Any]:
    with reading(engine) as connection:
        return spend_report(connection, scope, by=by, timezone=timezone).as_dict()


def table_for(engine: Engine, scope: Scope, by: Sequence[str] = (), timezone: str = "UTC") -> type[Table] | None:
    with reading(engine) as connection:
        return rollup_for(scope, scope.accounts(connection), by, timezone)


def forget_rollups(engine: Engine) -> None:
    """Say of every account that its rollups are not kept, so that the charges are read."""
    in_transaction(engine, lambda connection: connection.execute(update(AccountRow).values(rolled_up=-1)))


def drop_rollups(engine: Engine) -> None:
    for table in ROLLUPS:
        in_transaction(engine, lambda connection: connection.execute(delete(table)))  # noqa: B023  run at once


SCOPES: tuple[dict[str, Any], ...] = (
    *({"month": month, "account": account} for month in ("2025-02", "2025-03") for account in (None, "a", "k")),
    {"month": "2025-03", "where": ["project=p1"]},
    {"month": "2025-03", "where": ["band=standard", "api_key=backend"]},
    {"month": "2025-03", "where": ["project="]},
    {"month": "2025-03", "currency": "USD"},
    {"month": "2025-03", "currency": "CNY"},
    {"start": at("2025-03-01T00:00:00Z"), "end": at("2025-03-10T00:00:00Z")},
    {"start": at("2025-02-28T18:30:00Z"), "end": at("2025-03-31T18:15:00Z")},
    {"start": at("2025-02-28T18:30:00Z"), "end": at("2025-03-31T18:30:00Z"), "account": "k"},
    {"start": at("2025-03-01T00:29:59Z"), "end": at("2025-03-31T23:59:59Z")},
)


def test_rollups_and_charges_say_the_same(spent: Engine) -> None:
    asked: list[tuple[str, ...]] = [(), *((name,) for name in BY), ("project", "band"), BY]
    zones = {by: (None, *ZONES) if {"day", "hour"} & {*by} else (None,) for by in asked}
    shapes = [(Scope.checked(**options), by, zone) for options in SCOPES for by in asked for zone in zones[by]]
    from_rollups = [told(spent, *shape) for shape in shapes]
    forget_rollups(spent)
    for shape, answer in zip(shapes, from_rollups, strict=True):
        assert answer == told(spent, *shape), shape
    assert any(answer["totals"]["unpriced"] for answer in from_rollups)


class TestTheCheapest:
    def test_months_are_read_as_a_whole(self, spent: Engine) -> None:
        month = Scope(month="2025-03")
        assert table_for(spent, month) is MonthRow
        assert table_for(spent, month, ("account", "project", "api_key", "model", "band")) is MonthRow
        assert table_for(spent, Scope.checked(month="2025-03", where=["project=search"]), ("model",)) is MonthRow

    def test_their_days_by_days(self, spent: Engine) -> None:
        assert table_for(spent, Scope(month="2025-03", account="k"), ("day",), "Asia/Kolkata") is DayRow

    def test_hours_and_days_of_another_zone_by_quarter_hours(self, spent: Engine) -> None:
        month = Scope(month="2025-03")
        assert table_for(spent, month, ("hour",)) is QuarterRow
        assert table_for(spent, month, ("day",), "UTC") is QuarterRow  # k's days are Kolkata's
        assert table_for(spent, Scope(month="2025-03", account="k"), ("day",), "UTC") is QuarterRow

    def test_an_interval_by_what_it_cuts(self, spent: Engine) -> None:
        def between(start: str, end: str, account: str) -> type[Table] | None:
            return table_for(spent, Scope.checked(start=at(start), end=at(end), account=account))

        assert between("2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z", "a") is DayRow
        assert between("2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z", "k") is QuarterRow
        assert between("2025-02-28T18:30:00Z", "2025-03-01T18:30:00Z", "k") is DayRow
        assert between("2025-03-01T00:15:00Z", "2025-03-02T00:00:00Z", "a") is QuarterRow
        assert between("2025-03-01T00:00:01Z", "2025-03-02T00:00:00Z", "a") is None

    def test_users_tags_and_what_was_known_by_charges(self, spent: Engine) -> None:
        assert table_for(spent, Scope(month="2025-03"), ("user",)) is None
        assert table_for(spent, Scope(month="2025-03"), ("tag:team",)) is None
        assert table_for(spent, Scope.checked(month="2025-03", where=["user=u1"])) is None
        assert table_for(spent, Scope(month="2025-03", known_at=at("2025-04-01T00:00:00Z"))) is None


class TestKept:
    def test_a_closed_month_is_adjusted_in_the_month_of_booking(self, spent: Engine) -> None:
        close(spent, "2025-03", "a")
        record_and_post(spent, an_event("late", "2025-03-05T00:00:00Z", account="a"), now="2025-04-03T00:00:00Z")
        assert told(spent, Scope(month="2025-04", account="a"), ("day",))["rows"][0]["day"] == "2025-03-05"
        assert verify(spent, full=True) == []

    def test_a_credit_entered_late_moves_the_parts(self, spent: Engine) -> None:
        before = told(spent, Scope(month="2025-03", account="a"), ("project",))
        grant(spent, "2.50", "2025-03-01T00:00:00Z", account="a")
        after = told(spent, Scope(month="2025-03", account="a"), ("project",))
        assert before["totals"]["granted"] != after["totals"]["granted"]
        forget_rollups(spent)
        assert told(spent, Scope(month="2025-03", account="a"), ("project",)) == after

    def test_rebuilt_they_are_the_same(self, spent: Engine) -> None:
        kept = {table: sorted(map(repr, rows(spent, table))) for table in ROLLUPS}
        drop_rollups(spent)
        assert rebuild_projections(spent) == ["a", "k"]
        assert {table: sorted(map(repr, rows(spent, table))) for table in ROLLUPS} == kept
        assert verify(spent, full=True) == []

    def test_the_migration_sums_months_from_days(self, spent: Engine) -> None:
        kept = sorted(map(repr, rows(spent, MonthRow)))
        downgrade(spent, "0014")
        schema.upgrade(spent)
        assert sorted(map(repr, rows(spent, MonthRow))) == kept != []
        assert verify(spent, full=True) == []

    def test_an_account_without_them_is_read_from_its_charges_until_they_are_rebuilt(self, spent: Engine) -> None:
        month = Scope(month="2025-03")
        whole = told(spent, month, ("project",))
        drop_rollups(spent)
        forget_rollups(spent)
        assert table_for(spent, month) is None
        assert told(spent, month, ("project",)) == whole
        record_and_post(spent, an_event("more", "2025-03-05T00:00:00Z", account="a"), now="2025-04-03T00:00:00Z")
        assert counted(spent, *ROLLUPS) == [0, 0, 0]
        assert rebuild_rollups(spent) == ["a", "k"]
        assert table_for(spent, month) is MonthRow
        assert verify(spent, full=True) == []
        assert rebuild_rollups(spent) == []


def test_an_account_that_was_made_and_never_posted_to_is_no_reason_to_read_charges(spent: Engine) -> None:
    in_transaction(spent, lambda c: accounts.make_missing(c, ["new"], Home(), at("2025-04-01T00:00:00Z")))
    assert table_for(spent, Scope(month="2025-03")) is MonthRow


def test_sums_past_64_bits_are_exact(engine: Engine) -> None:
    """A call of 10^12 output tokens is 1,100,000 USD; nine of them pass 2^63 units of 10^-12."""
    calls = [an_event(f"call-{number}", output=10**12) for number in range(20)]
    record_and_post(engine, *calls)
    top_up(engine, "1.00", "2025-03-03T12:00:00.000001Z")
    for by in ((), ("project",), ("hour",)):
        assert told(engine, Scope(month="2025-03"), by)["totals"]["cost"] == "22000000.00"
    ((cost,),) = [[row["cost_high"] * 10**9 + row["cost_low"]] for row in rows(engine, DayRow)]
    assert cost == 22_000_000 * 10**12 > 2**63
    assert verify(engine, full=True) == []
    assert rebuild_projections(engine) == ["default"]
    assert told(engine, Scope(month="2025-03"), ("hour",))["totals"]["cost"] == "22000000.00"


def test_calls_before_1970_stand_in_their_quarter_hour(engine: Engine) -> None:
    """SQLite divides towards zero: before 1970 that is the wrong way."""
    moment = "1969-12-31T23:59:59.999999Z"
    record_and_post(engine, an_event("old", moment))
    (row,) = rows(engine, QuarterRow)
    assert row["quarter"] == -1
    assert verify(engine, full=True) == []
    hour = told(engine, Scope.checked(start=at("1969-12-31T00:00:00Z"), end=at("1970-01-02T00:00:00Z")), ("hour",))
    assert [row["hour"] for row in hour["rows"]] == ["1969-12-31T23:00:00Z"]
    forget_rollups(engine)
    scope = Scope.checked(start=at("1969-12-31T00:00:00Z"), end=at("1970-01-02T00:00:00Z"))
    assert told(engine, scope, ("hour",)) == hour


def test_names_of_the_longest_kind_fit(engine: Engine) -> None:
    """Four names of 256 characters of four bytes pass what an index of PostgreSQL takes; their digest does not."""
    longest = "\U0001f600" * 256
    record_and_post(engine, an_event("a", project=longest, api_key=longest, model=longest))
    (row,) = told(engine, Scope(month="2025-03"), ("project", "api_key", "model"))["rows"]
    assert (row["project"], row["api_key"], row["model"]) == (longest, longest, longest)
