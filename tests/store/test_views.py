"""The reporting views say what reports and balances say, to the digit, on both databases."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import ProgrammingError

from costmeter.core.errors import SetupError
from costmeter.core.money import format_amount
from costmeter.core.periods import zone
from costmeter.reports.spend import MEASURES, spend_report
from costmeter.store import accounts, balances, views
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction, open_engine, reading
from costmeter.store.scope import Scope
from costmeter.store.tables import AccountRow, DayRow
from costmeter.store.uncounted import count_uncounted
from costmeter.store.views import VIEWS
from tests.make import MILLION, an_event, an_unmetered, at, give, grant, record, record_and_post, top_up

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reporting.md"
LATER = "2025-04-02T00:00:00Z"


def selected(engine: Engine, query: str, **values: Any) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(text(query), values).mappings()]


def amount(value: Any) -> str:
    """An amount of a view as everything else writes it: a Decimal of PostgreSQL's, a text of SQLite's."""
    assert isinstance(value, Decimal | str)
    units = Decimal(value).scaleb(12)
    assert units == int(units)
    return format_amount(int(units))


@pytest.fixture
def spent(engine: Engine) -> Engine:
    """Two accounts of two zones and a month's edge, with and without attribution, priced and not."""
    for account, name in (("a", "UTC"), ("k", "Asia/Kolkata")):
        home = Home("USD", name)
        give(engine, "granted", "3.00", "2025-02-28T00:00:00Z", account=account, home=home)
        calls = [
            an_event(
                f"{account}-{place}",
                moment,
                hit=place,
                miss=7,
                output=MILLION + place,
                account=account,
                project=None if place % 3 == 0 else f"p{place % 3}",
                api_key="backend" if place % 2 else None,
                model="deepseek-chat" if place % 4 else "no-such-model",
            )
            for place, moment in enumerate(
                ("2025-02-28T18:29:59Z", "2025-02-28T18:30:00Z", "2025-03-01T16:30:00Z", "2025-03-31T18:15:00Z") * 2
            )
        ]
        record_and_post(engine, *calls, now=LATER, home=home)
    return engine


class TestSpend:
    BY = ("account", "project", "api_key", "model", "band")

    @pytest.mark.parametrize(("view", "grain"), [("report_spend_day", "day"), ("report_spend_quarter", "hour")])
    @pytest.mark.parametrize("account", ["a", "k"])
    def test_a_month_is_what_its_report_says(self, spent: Engine, view: str, grain: str, account: str) -> None:
        with reading(spent) as connection:
            scope = Scope(month="2025-03", account=account)
            report = spend_report(connection, scope, by=(*self.BY, grain), timezone="Asia/Kolkata").as_dict()
            if grain == "day" and account == "a":  # its days are its own zone's
                report = spend_report(connection, scope, by=(*self.BY, grain)).as_dict()
        found: dict[tuple[Any, ...], dict[str, Decimal]] = {}
        for row in selected(spent, f"SELECT * FROM {view} WHERE billing_month = '2025-03' AND account = '{account}'"):
            assert (row["currency"], bool(row["is_current"])) == ("USD", True)
            at_time = str(row["day"]) if grain == "day" else self.hour_of(row["quarter_start"])
            sums = found.setdefault((*(row[name] for name in self.BY), at_time), dict.fromkeys(MEASURES, Decimal(0)))
            for name in MEASURES:
                sums[name] += Decimal(row[name])
        expected = {
            (*(row[name] for name in self.BY), row[grain]): {name: Decimal(row[name]) for name in MEASURES}
            for row in report["rows"]
        }
        assert found == expected
        assert len(found) >= 4

    @staticmethod
    def hour_of(start: Any) -> str:
        instant = start if isinstance(start, datetime) else at(start)
        local = instant.astimezone(zone("Asia/Kolkata")).replace(minute=0)
        return local.isoformat()

    def test_what_is_missing_is_null_and_rollups_behind_say_so(self, spent: Engine) -> None:
        assert {row["project"] for row in selected(spent, "SELECT project FROM report_spend_day")} == {None, "p1", "p2"}
        assert {row["band"] for row in selected(spent, "SELECT band FROM report_spend_day WHERE unpriced > 0")} == {
            None
        }
        in_transaction(spent, lambda c: c.execute(update(AccountRow).values(rolled_up=0)))
        assert {bool(row["is_current"]) for row in selected(spent, "SELECT is_current FROM report_spend_day")} == {
            False
        }

    @pytest.mark.parametrize(
        ("high", "low", "says"),
        [
            (0, 0, "0.000000000000"),
            (0, 1, "0.000000000001"),
            (-1, 999_999_999, "-0.000000000001"),
            (-1, 0, "-0.001000000000"),
            (-1001, 999_999_999, "-1.000000000001"),
            (0, 1_234_567_890_123_456_789, "1234567.890123456789"),
            (9_223_372_036_854_775_806, 999_999_999, "9223372036854775.806999999999"),
            (-9_223_372_036_854_775_807, 1, "-9223372036854775.806999999999"),
        ],
    )
    def test_no_amount_is_too_large_to_be_exact(self, spent: Engine, high: int, low: int, says: str) -> None:
        values = {"cost_high": high, "cost_low": low}
        in_transaction(spent, lambda c: c.execute(update(DayRow).where(DayRow.account == "a").values(values)))
        (found,) = selected(spent, "SELECT DISTINCT cost FROM report_spend_day WHERE account = 'a'")
        assert format(found["cost"], "f") == says if isinstance(found["cost"], Decimal) else found["cost"] == says


class TestBalance:
    def test_it_is_the_balance_of_now(self, engine: Engine) -> None:
        top_up(engine, "5.00", "2025-03-01T00:00:00Z", account="paid")
        grant(engine, "0.50", "2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z", account="paid")
        grant(engine, "0.70", "2025-03-01T00:00:00Z", account="over")
        record_and_post(
            engine, an_event("1", account="paid"), an_event("2", account="over"), an_event("3", account="none")
        )
        give(engine, "granted", "9.00", "2999-01-01T00:00:00Z", account="paid")
        now = datetime.now(UTC)
        rows = {row["account"]: row for row in selected(engine, "SELECT * FROM report_balance")}
        with reading(engine) as connection:
            for account in accounts.listed(connection, None):
                expected = balances.balance_now(connection, account, now)
                row = rows[account.account]
                told = tuple(amount(row[name]) for name in ("granted", "topped_up", "total"))
                assert told == tuple(map(format_amount, (expected.granted, expected.topped_up, expected.total)))
                assert bool(row["is_available"]) is (expected.total > 0)
                assert bool(row["is_frozen"]) is False
        assert (amount(rows["over"]["topped_up"]), amount(rows["over"]["overdraft"])) == ("-0.40", "0.40")
        assert amount(rows["paid"]["total"]) == "3.90"

    def test_a_sum_past_64_bits(self, engine: Engine) -> None:
        for reference in ("a", "b", "c"):
            top_up(engine, "9000000.000000000001", "2025-03-01T00:00:00Z", reference=reference)
        (row,) = selected(engine, "SELECT * FROM report_balance")
        assert amount(row["total"]) == "27000000.000000000003"
        owed = int("1" + "0" * 24)
        in_transaction(engine, lambda c: c.execute(update(AccountRow).values(overdraft=owed)))
        (row,) = selected(engine, "SELECT * FROM report_balance")
        assert (amount(row["total"]), amount(row["overdraft"])) == ("-999972999999.999999999997", "1000000000000.00")


class TestUncounted:
    def test_it_is_what_reports_count_beside_the_money(self, engine: Engine) -> None:
        failed = {"status": "failed", "http_status": 500, "usage": None}
        record_and_post(engine, an_event("posted"))
        record(engine, an_unmetered("1"), an_unmetered("2", "2025-03-04T00:14:59Z"), an_event("3") | failed)
        record(engine, an_event("2", "2025-03-04T00:14:59Z"), an_event("waits", account="other"))  # 2 is known by now
        record(engine, an_event("bad", output=-1), an_event("posted", output=5))  # an item, and a conflict
        rows = selected(engine, "SELECT * FROM report_uncounted")
        with reading(engine) as connection:
            scope = Scope(month="2025-03")
            expected = count_uncounted(connection, scope, scope.accounts(connection))
        sums = dict.fromkeys(expected, 0)
        for row in rows:
            sums[row["kind"]] += row["calls"]
        assert sums == expected
        assert {*sums.values()} == {1, 2}
        starts = {row["kind"]: row["quarter_start"] for row in rows if row["account"] == "default"}
        instants = {kind: one if isinstance(one, datetime) else at(one) for kind, one in starts.items()}
        assert instants["failed"] == at("2025-03-03T12:00:00Z")
        assert instants["unposted"] == at("2025-03-04T00:00:00Z")


class TestCheck:
    def test_a_view_that_is_gone_is_told(self, engine: Engine) -> None:
        views.check(engine)
        in_transaction(engine, lambda c: c.execute(text("DROP VIEW report_balance")))
        with pytest.raises(SetupError, match="the view report_balance is gone"):
            views.check(engine)


class TestDocumented:
    """docs/reporting.md has a section a view, and a row for each of its columns."""

    def test_each_column_of_each_view_is_told(self, engine: Engine) -> None:
        sections = dict(
            re.findall(r"^## `(report_\w+)`\n(.*?)(?=^## |\Z)", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        )
        assert tuple(sections) == VIEWS
        for view, section in sections.items():
            told = [
                name
                for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
                for name in re.findall(r"`(\w+)`", row)
            ]
            with reading(engine) as connection:
                columns = [*connection.execute(text(f"SELECT * FROM {view} LIMIT 0")).keys()]
            assert told == columns, view

    def test_the_reader_reads_the_views_and_nothing_else(self, postgres_url: str) -> None:
        """The recipe of the page, run as it stands."""
        (recipe,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
        owner = open_engine(postgres_url)
        reader = f"reader_{owner.url.database}"
        statements = recipe.replace("costmeter_reader", reader).replace(
            "DATABASE costmeter", f"DATABASE {owner.url.database}"
        )
        with owner.begin() as connection:
            connection.exec_driver_sql(statements)
        try:
            for query, is_refused in {
                **{f"SELECT * FROM {view}": False for view in VIEWS},
                **{f"SELECT * FROM {table}": True for table in ("usage_event", "api_key", "audit_entry", "account")},
                "UPDATE account SET version = 0": True,
                "CREATE TABLE mine (x integer)": True,
            }.items():
                with owner.connect() as connection:
                    connection.execute(text(f"SET ROLE {reader}"))
                    if is_refused:
                        with pytest.raises(ProgrammingError, match="permission denied"):
                            connection.execute(text(query))
                    else:
                        connection.execute(text(query))
        finally:
            with owner.begin() as connection:
                connection.execute(text(f"DROP OWNED BY {reader}"))
                connection.execute(text(f"DROP ROLE {reader}"))
            owner.dispose()
