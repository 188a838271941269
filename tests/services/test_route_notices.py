"""Each notice is routed once: through its own channels, else through all, with one message that never changes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.notices import DIGEST, RAISED, RECOVERED, Message
from costmeter.services.route_notices import route_notices
from costmeter.store import notices
from costmeter.store.alerts import Crossing, notify, raise_once, recover
from costmeter.store.engine import in_transaction, reading
from costmeter.store.notices import Delivery
from tests.alerts.messages import FACTS, NOW, deliveries, kept_notices, raise_notices
from tests.make import an_event, at, record_and_post

SITE = "https://costmeter.example"
DIGESTS = {"daily": ["mail"], "weekly": []}


def route(engine: Engine, *channels: str) -> int:
    return route_notices(engine, channels, digests=DIGESTS, site=SITE, clock=lambda: at(NOW))


def told(engine: Engine) -> list[Message]:
    """The messages that wait, each once for a channel."""
    with reading(engine) as connection:
        return [notices.message_of(connection, Delivery(**row)) for row in deliveries(engine)]


def test_a_notice_goes_through_all_channels_where_it_names_none(engine: Engine) -> None:
    raise_notices(engine, "one")
    raise_notices(engine, "two", channels=[])
    assert route(engine, "mail", "hook") == 2
    assert [(row["channel"], row["state"], row["attempts"]) for row in deliveries(engine)] == [
        ("hook", "waiting", 0), ("mail", "waiting", 0),
    ] * 2  # fmt: skip
    assert [row["due_at"] for row in deliveries(engine)] == [at(NOW)] * 4


def test_a_notice_goes_through_its_own_channels_where_it_names_some(engine: Engine) -> None:
    raise_notices(engine, "one", channels=["mail"])
    route(engine, "mail", "hook")
    assert [row["channel"] for row in deliveries(engine)] == ["mail"]


def test_a_channel_that_is_not_known_any_more_is_given_up_loudly(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    (notice_id,) = raise_notices(engine, "one", channels=["gone", "mail"])
    route(engine, "mail")
    gone, mail = deliveries(engine)
    assert (gone["state"], mail["state"]) == ("given_up", "waiting")
    assert gone["error"].startswith("there is no channel 'gone'; name it in the file of COSTMETER_CHANNELS")
    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert notice_id in record.getMessage()
    assert "Budget one: 82.4 % spent" in record.getMessage()


def test_a_notice_is_routed_once_whoever_looks_again(engine: Engine) -> None:
    raise_notices(engine, "one")
    assert (route(engine, "mail"), route(engine, "mail"), route(engine, "hook")) == (1, 0, 0)
    assert [row["channel"] for row in deliveries(engine)] == ["mail"]
    assert kept_notices(engine)[0]["routed_at"] == at(NOW)


def test_many_routers_at_once_route_each_notice_once(engine: Engine) -> None:
    raise_notices(engine, *(f"budget-{number}" for number in range(25)))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(route(engine, "mail", "hook"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 25
    assert len(deliveries(engine)) == 50


def test_more_than_fit_into_one_look_are_all_routed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costmeter.services.route_notices.AT_ONCE", 3)
    raise_notices(engine, *(f"budget-{number}" for number in range(8)))
    assert route(engine, "mail") == 8


@pytest.mark.parametrize(("kind", "told"), [("daily", ["mail"]), ("weekly", []), ("yearly", [])])
def test_a_digest_goes_through_the_channels_that_tell_its_kind(engine: Engine, kind: str, told: list[str]) -> None:
    facts = {"digest": kind}
    in_transaction(engine, lambda c: notify(c, "default", DIGEST, DIGEST, facts, now=at(NOW), subject=f"{kind} 1"))
    assert (route(engine, "mail", "hook"), route(engine, "mail", "hook")) == (1, 0)
    assert [row["channel"] for row in deliveries(engine)] == told


def test_an_alert_and_its_recovery_are_told_apart(engine: Engine) -> None:
    crossing = Crossing("default", "budget 3", FACTS["from"], "80%")
    in_transaction(engine, lambda c: raise_once(c, crossing, "budget", FACTS, now=at(NOW)))
    in_transaction(engine, lambda c: recover(c, crossing, "budget", {**FACTS, "spent": "399.00"}, now=at(NOW)))
    route(engine, "mail")
    raised, recovered = told(engine)
    assert (raised.event, recovered.event) == (RAISED, RECOVERED)
    assert recovered.title == "Budget search: below 80% again, 79.8 % spent"
    assert raised.notice_id != recovered.notice_id


def test_a_notice_of_the_installation_has_no_account(engine: Engine) -> None:
    facts = {"since": NOW}
    in_transaction(engine, lambda c: notify(c, "", "scheduler", RAISED, facts, now=at(NOW), subject="scheduler"))
    route(engine, "mail")
    assert told(engine)[0].account == ""


def spent(engine: Engine, **facts: Any) -> Message:
    """What is told of a budget of March in Shanghai, once these calls are posted."""
    record_and_post(
        engine,
        an_event("a", "2025-02-28T15:59:59Z", project="search", user="u-1"),  # February in Shanghai
        an_event("b", "2025-02-28T16:00:00Z", project="search", user="u-1", api_key="k-1"),
        an_event("c", "2025-03-03T12:00:00Z", project="search", user="u-2", tags={"team": "red"}),
        an_event("d", "2025-03-03T13:00:00Z", project="search", user="u-2"),
        an_event("e", "2025-03-03T13:00:00Z", project="other", user="u-3", api_key="k-1"),
        an_event("f", "2025-03-04T13:00:00Z", user="u-4"),
    )
    changed = {**FACTS, **facts}
    in_transaction(engine, lambda c: notify(c, "default", "budget", RAISED, changed, now=at(NOW), subject="budget 3"))
    route(engine, "mail")
    return told(engine)[0]


def test_by_whom_mostly_is_by_what_the_budget_does_not_fix(engine: Engine) -> None:
    (table,) = spent(engine, filters={"project": "search"}).tables
    assert (table.caption, [*map(list, table.rows)]) == (
        "Mostly by user", [["u-2", "2.20 USD", "66.6 %"], ["u-1", "1.10 USD", "33.3 %"]],
    )  # fmt: skip


def test_by_whom_mostly_is_by_project_first_and_names_what_has_none(engine: Engine) -> None:
    message = spent(engine, filters={})
    assert message.tables[0].caption == "Mostly by project"
    assert [row[0] for row in message.tables[0].rows] == ["search", "no project", "other"]


def test_by_whom_mostly_in_tokens_and_by_tag(engine: Engine) -> None:
    message = spent(
        engine, filters={"tag:team": "red", "project": "search"}, unit="tokens", spent="1000000", amount="5000000"
    )
    assert [*map(list, message.tables[0].rows)] == [["u-2", "1,000,000 tokens", "100.0 %"]]
    assert message.chart is not None
    assert message.chart.unit == "tokens"


def test_the_chart_has_every_day_of_the_period_so_far_in_its_zone(engine: Engine) -> None:
    chart = spent(engine, filters={"project": "search"}).chart
    assert chart is not None
    assert [point[0] for point in chart.points] == [f"2025-03-{day:02d}" for day in range(1, 20)]
    assert {label: amount for label, amount, _ in chart.points if amount != "0.00"} == {
        "2025-03-01": "1.10", "2025-03-03": "2.20",
    }  # fmt: skip


def test_a_period_of_hours_is_shown_by_hour(engine: Engine) -> None:
    edges = {"from": "2025-03-03T10:00:00Z", "to": "2025-03-03T15:00:00Z", "per": "5h"}
    chart = spent(engine, filters={}, timezone="UTC", **edges).chart
    assert chart is not None
    assert [tuple(point[:2]) for point in chart.points] == [
        ("03-03 10:00", "0.00"), ("03-03 11:00", "0.00"), ("03-03 12:00", "1.10"), ("03-03 13:00", "2.20"),
        ("03-03 14:00", "0.00"),
    ]  # fmt: skip


def test_a_budget_without_end_shows_its_last_days(engine: Engine) -> None:
    chart = spent(engine, filters={}, timezone="UTC", per="all", to=None, **{"from": "2024-01-01T00:00:00Z"}).chart
    assert chart is not None
    assert (len(chart.points), chart.points[-1][0]) == (92, "2025-03-19")


def test_what_has_no_spend_to_look_up_is_told_without(engine: Engine) -> None:
    facts = {**FACTS, "filters": {"nonsense": "x"}}
    in_transaction(engine, lambda c: notify(c, "nobody", "budget", RAISED, facts, now=at(NOW), subject="budget 3"))
    route(engine, "mail")
    message = told(engine)[0]
    assert (message.tables, message.chart) == ([], None)
    assert message.title == "Budget search: 82.4 % spent, 412.35 USD of 500.00 USD"
