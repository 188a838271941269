"""The months of an account's books, worked out by hand and against their statements. A call costs 1.10 USD."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text, update

from costmeter.core.errors import InputError, NotFoundError
from costmeter.core.money import format_amount, parse_total
from costmeter.prices.read import read_edition
from costmeter.reports.months import LISTED, list_months, month_to_close
from costmeter.reports.statements import statement_shape
from costmeter.services.close_month import close_month
from costmeter.services.detach_months import detach_months
from costmeter.services.make_partitions import make_partitions
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.store import accounts
from costmeter.store.accounts import Home
from costmeter.store.blockers import CHECKS
from costmeter.store.engine import in_transaction, open_engine, reading
from costmeter.store.tables import AccountRow
from tests.late_prices import with_new_model
from tests.make import an_event, at, grant, post, record, record_and_post, set_up_account, top_up

GRACE = timedelta(hours=72)
MAY = "2025-05-20T00:00:00Z"
APRIL = "2025-04-20T00:00:00Z"


def listed(engine: Engine, now: str = APRIL, before: str | None = None) -> dict[str, Any]:
    with reading(engine) as connection:
        account = accounts.get(connection, "default")
        return list_months(connection, account, grace=GRACE, now=at(now), before=before)


def months(engine: Engine, now: str = APRIL) -> dict[str, dict[str, Any]]:
    return {row["month"]: row for row in listed(engine, now)["months"]}


def states(engine: Engine, now: str = APRIL) -> dict[str, str]:
    return {month: row["state"] for month, row in months(engine, now).items()}


def to_close(engine: Engine, month: str = "2025-03", now: str = APRIL) -> dict[str, Any]:
    with reading(engine) as connection:
        return month_to_close(connection, accounts.get(connection, "default"), month, grace=GRACE, now=at(now))


def close(engine: Engine, month: str, now: str = APRIL, reason: str | None = None) -> None:
    close_month(engine, "default", month, by="Ada", reason=reason, grace=GRACE, now=at(now))


def check_statements(engine: Engine, now: str) -> None:
    """Every month says what its statement says."""
    for month, row in months(engine, now).items():
        with reading(engine) as connection:
            statement = statement_shape(connection, "default", month, at(now))
        adjusted = format_amount(sum(parse_total(one["cost"]) for one in statement["adjustments"]))
        assert (row["opening"], row["closing_balance"]) == (statement["opening"], statement["closing_balance"])
        assert (row["cost"], row["adjustments"]) == (statement["deductions"]["cost"], adjusted)
        assert row["closing"] == statement["closing"]


@pytest.fixture
def quarter(engine: Engine) -> Engine:
    """March is closed; a late call of it is booked in April, which has calls of its own; May is empty."""
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    grant(engine, "0.50", "2025-04-01T00:00:00Z", "2025-04-15T00:00:00Z", now=APRIL)
    record_and_post(engine, an_event("a"), an_event("b"))
    close(engine, "2025-03")
    record_and_post(engine, an_event("late"), now=APRIL)
    record_and_post(engine, an_event("c", "2025-04-10T12:00:00Z"), an_event("d", "2025-04-30T12:00:00Z"), now=MAY)
    return engine


def test_each_month_says_what_its_statement_says(quarter: Engine) -> None:
    found = listed(quarter, MAY)
    assert [row["month"] for row in found["months"]] == ["2025-05", "2025-04", "2025-03"]
    assert (found["due"], found["next"], found["currency"]) == ("2025-04", None, "USD")
    april = found["months"][1]
    assert (april["cost"], april["adjustments"]) == ("2.20", "1.10")
    assert april["closing_balance"]["total"] == found["months"][0]["opening"]["total"]
    check_statements(quarter, MAY)
    in_transaction(quarter, lambda c: c.execute(update(AccountRow).values(rolled_up=-1)))
    check_statements(quarter, MAY)  # by the charges themselves
    close(quarter, "2025-04", MAY)
    check_statements(quarter, MAY)


def test_a_month_is_read_from_rollups_and_the_texts_that_were_kept(quarter: Engine) -> None:
    said: list[str] = []
    event.listen(quarter, "before_cursor_execute", lambda *arguments: said.append(arguments[2]))
    close_to = "2025-05-02T00:00:00Z"  # April waits, so that nothing is looked for that stands against it
    assert states(quarter, close_to) == {"2025-05": "open", "2025-04": "waiting", "2025-03": "closed"}
    assert not [statement for statement in said if "FROM charge " in statement or "JOIN charge " in statement]


def test_the_states_of_a_month(engine: Engine) -> None:
    record_and_post(engine, an_event("a"))
    assert states(engine, "2025-03-31T23:59:59Z") == {"2025-03": "open"}
    waiting = months(engine, "2025-04-01T00:00:00Z")["2025-03"]
    assert (waiting["state"], waiting["waits_until"]) == ("waiting", "2025-04-04T00:00:00Z")
    assert states(engine, "2025-04-04T00:00:00Z") == {"2025-04": "open", "2025-03": "ready"}
    assert states(engine, MAY) == {"2025-05": "open", "2025-04": "follows", "2025-03": "ready"}
    record_and_post(engine, an_event("x", model="deepseek-9"))
    blocked = months(engine)["2025-03"]
    assert blocked["state"] == "blocked"
    assert blocked["blockers"] == to_close(engine)["blockers"]
    assert blocked["blockers"][0].startswith("1 call is unpriced")
    close(engine, "2025-03", reason="priced next month")
    closed = months(engine)["2025-03"]
    assert (closed["state"], closed["closing"]["override"]["reason"]) == ("closed", "priced next month")
    assert states(engine, MAY) == {"2025-05": "open", "2025-04": "ready", "2025-03": "closed"}


def test_a_month_is_one_of_the_accounts_zone(engine: Engine) -> None:
    set_up_account(engine, "default", timezone="Asia/Shanghai")
    record_and_post(
        engine,
        an_event("a", "2025-03-31T15:59:59Z"),
        an_event("b", "2025-03-31T16:00:00Z", output=2_000_000),
        now=APRIL,
    )
    found = months(engine)
    assert [found[month]["cost"] for month in ("2025-03", "2025-04")] == ["1.10", "2.20"]
    assert states(engine, "2025-04-03T15:59:59Z")["2025-03"] == "waiting"
    assert states(engine, "2025-04-03T16:00:00Z")["2025-03"] == "ready"


def test_what_is_repriced_adjusts_the_closed_month(engine: Engine) -> None:
    record_and_post(engine, an_event("x", model="deepseek-9"))
    close(engine, "2025-03", reason="priced next month")
    reprice(engine, book=with_new_model(), read_book=read_edition, by="Ada", now=at(APRIL))
    found = months(engine)
    assert (found["2025-03"]["cost"], found["2025-04"]["cost"]) == ("0.00", "0.00")
    assert found["2025-04"]["adjustments"] == "2.00"
    check_statements(engine, APRIL)


def test_what_stands_against_closing_by_check(engine: Engine) -> None:
    record_and_post(engine, an_event("a"))
    checks = to_close(engine)["checks"]
    assert [one["check"] for one in checks] == [*CHECKS]
    assert [one["blocker"] for one in checks] == [None] * len(CHECKS)
    assert not to_close(engine)["is_final"]
    record_and_post(engine, an_event("x", model="deepseek-9"))
    record(engine, an_event("bad", hit=-1))
    record(engine, an_event("waits"))
    told = to_close(engine)
    found = {one["check"]: one["blocker"] for one in told["checks"] if one["blocker"]}
    assert [*found] == ["unpriced", "quarantined", "unposted"]
    assert [one["text"] for one in found.values()] == told["blockers"]
    assert not told["is_final"]
    post(engine)
    early = to_close(engine, "2025-04")
    order = early["checks"][0]["blocker"]
    assert order == {"text": "2025-03 comes first (costmeter close 2025-03)", "is_final": True, "month": "2025-03"}
    assert early["is_final"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE account SET frozen_at = created_at"))
    assert to_close(engine)["is_final"]


def test_many_months_come_in_parts(engine: Engine) -> None:
    record_and_post(engine, an_event("a", "2024-02-10T12:00:00Z", model="deepseek-chat"), now=APRIL)
    found, before = [], None
    while True:
        part = listed(engine, before=before)
        found += [row["month"] for row in part["months"]]
        assert len(part["months"]) <= LISTED
        before = part["next"]
        if before is None:
            break
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1], len(found)) == ("2025-04", "2024-02", 15)
    assert listed(engine, before="2024-02")["months"] == []
    assert listed(engine, before="2030-01") == listed(engine)


def test_what_there_is_nothing_of(engine: Engine) -> None:
    set_up_account(engine, "default")
    assert (listed(engine)["months"], listed(engine)["due"], listed(engine)["next"]) == ([], None, None)
    for month in ("2025-03", "2025-04"):
        with pytest.raises(NotFoundError, match="no month"):
            to_close(engine, month)
    record_and_post(engine, an_event("a"))
    for month in ("2025-02", "2025-05"):
        with pytest.raises(NotFoundError, match="no month"):
            to_close(engine, month)
    with pytest.raises(InputError, match="before"):
        listed(engine, before="March")


def test_what_a_detached_open_month_cost_is_not_told(postgres_url: str) -> None:
    engine, now = open_engine(postgres_url), "2025-05-10T00:00:00Z"
    make_partitions(engine, now=at("2025-01-10T00:00:00Z"))
    top_up(engine, "20.00", "2025-01-01T00:00:00Z", now=now)
    calls = [an_event(f"c{month}", f"2025-0{month}-15T12:00:00Z") for month in (1, 2, 3)]
    record_and_post(engine, *calls, now=now, home=Home())
    assert verify(engine) == []
    assert detach_months(engine, before="2025-03", now=at(now)) == ["2025-01", "2025-02"]
    found = months(engine, now)
    assert [found[month]["cost"] for month in ("2025-01", "2025-02", "2025-03")] == [None, None, "1.10"]
    assert found["2025-03"]["closing_balance"]["total"] == "17.52", "which the journal tells, that stays"
    engine.dispose()
