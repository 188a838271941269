"""Reservations over HTTP and by the client: what may be spent, by whom, and what a refusal says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from costmeter import Client, OverBudgetError, ServiceError
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.store.accounts import Home
from tests.api.serving import Api, posted, wiring_now
from tests.make import an_event


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    with Client(str(api.base_url), api_key=api.headers["Authorization"].removeprefix("Bearer ")) as made:
        yield made


def budget(api: Api, name: str = "all", amount: str = "10.00", *, account: str = "default", **more: Any) -> None:
    new = NewBudget(account, name, "month", amount, stops=True, **more)
    add_budget(api.engine, new, by="root", home=Home(), now=wiring_now())


def ask(api: Api, cost: str = "1.00", headers: dict[str, str] | None = None, **more: Any) -> Any:
    return api.post("/v1/reservations", json={"cost": cost, "tokens": 10} | more, headers=headers)


def test_a_call_from_the_question_to_its_charge(client: Client, api: Api) -> None:
    budget(api)
    given = client.reserve(cost="2.00", tokens=1_000_000, event_id="e1", project="search", tags={"team": "a"})
    assert (given.state, given.cost, given.account, given.ended_now) == ("open", "2.00", "default", None)
    assert [one.number for one in given.budgets] == [1]
    assert client.reserve(cost="2.00", tokens=1_000_000, event_id="e1") == given

    with pytest.raises(OverBudgetError, match=r"budget 'all' has 8.00 USD left, and 8.01 USD was asked for; its") as no:
        client.reserve(cost="8.01", tokens=0)
    assert (no.value.status, no.value.kind) == (402, "/problems/over-budget")
    told = {name: no.value.budget[name] for name in ("amount", "spent", "reserved", "left", "asked", "unit")}
    assert told == {
        "amount": "10.00", "spent": "0.00", "reserved": "2.00", "left": "8.00", "asked": "8.01", "unit": "USD",
    }  # fmt: skip
    assert no.value.retry_after is not None
    assert 0 < no.value.retry_after <= 31 * 86_400

    now = wiring_now()
    client.record([an_event("e1", now.isoformat(), output=10, project="search")])
    posted(api)
    ended = client.settle(given)
    assert (ended.state, ended.ended_now) == ("settled", False)  # its charge did
    assert [one.reservation_id for one in client.reservations(state="settled")] == [given.reservation_id]
    assert list(client.reservations(state="open")) == []
    assert client.reserve(cost="9.99", tokens=0).state == "open"


def test_it_is_released_once(client: Client, api: Api) -> None:
    budget(api, amount="1.00")
    given = client.reserve(cost="1.00", tokens=0)
    assert client.release(given).ended_now is True
    again = client.release(given)
    assert (again.state, again.ended_now) == ("released", False)
    assert client.settle(given).state == "released"
    assert client.reserve(cost="1.00", tokens=0, seconds=60).state == "open"


def test_where_no_budget_stops_it_there_is_nothing_to_end(client: Client, api: Api) -> None:
    answer = ask(api)
    assert (answer.status_code, answer.json()["reservation_id"], answer.json()["budgets"]) == (200, None, [])
    given = client.reserve(cost="1.00", tokens=1)
    assert client.settle(given) is client.release(given) is given
    assert list(client.reservations()) == []


def test_a_list_comes_in_pages_newest_first(api: Api) -> None:
    budget(api)
    made = [ask(api, "0.10").json()["reservation_id"] for _ in range(5)]
    first = api.get("/v1/reservations", params={"limit": 3}).json()
    rest = api.get("/v1/reservations", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [one["reservation_id"] for one in first["data"] + rest["data"]] == made[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("wrong", "status", "field"),
    [
        ({"cost": "x"}, 422, "cost"),
        ({"cost": "-1.00"}, 422, "cost"),
        ({"cost": 1.0}, 422, "cost"),
        ({"tokens": -1}, 422, "tokens"),
        ({"seconds": 0}, 422, "seconds"),
        ({"seconds": 86_401}, 422, "seconds"),
        ({"currency": "CNY"}, 422, "currency"),
        ({"owner": "somebody else"}, 422, "owner"),
    ],
)
def test_what_cannot_be_used_is_named(sqlite_api: Api, wrong: dict[str, Any], status: int, field: str) -> None:
    budget(sqlite_api)
    answer = ask(sqlite_api, **({"cost": "1.00"} | wrong))
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_an_id_that_is_none_is_refused(client: Client, sqlite_api: Api) -> None:
    for text, status in (("x", 422), ("00" * 16, 422), ("00000000-0000-0000-0000-000000000000", 404)):
        assert sqlite_api.post(f"/v1/reservations/{text}/settle").status_code == status
    assert sqlite_api.get("/v1/reservations", params={"state": "closed"}).status_code == 422


def test_the_same_call_with_another_cost_is_a_conflict(client: Client, api: Api) -> None:
    budget(api)
    client.reserve(cost="1.00", tokens=0, event_id="e1")
    with pytest.raises(ServiceError) as conflict:
        client.reserve(cost="1.01", tokens=0, event_id="e1")
    assert (conflict.value.status, conflict.value.field) == (409, "event_id")


def test_a_key_of_one_account_reserves_and_ends_there_only(sqlite_api: Api) -> None:
    for account in ("mine", "theirs"):
        budget(sqlite_api, account=account)
    theirs = ask(sqlite_api, account="theirs").json()["reservation_id"]
    headers = sqlite_api.key("ingest", accounts=["mine"])
    assert ask(sqlite_api, headers=headers).json()["account"] == "mine"  # the only one that it has
    assert ask(sqlite_api, headers=headers, account="theirs").status_code == 403
    ends = f"/v1/reservations/{theirs}/release"
    assert sqlite_api.post(ends, params={"account": "theirs"}, headers=headers).status_code == 403
    assert sqlite_api.post(ends, headers=headers).status_code == 404
    assert sqlite_api.post(ends, params={"account": "theirs"}).json()["ended_now"] is True


def test_a_key_of_one_project_ends_its_own_and_sees_no_sums_of_others(sqlite_api: Api) -> None:
    budget(sqlite_api, "whole", "5.00")
    budget(sqlite_api, "project", "2.00", where=["project=p"])
    other = ask(sqlite_api, project="q").json()["reservation_id"]
    headers = sqlite_api.key("ingest", projects=["p"])
    assert ask(sqlite_api, headers=headers, project="q").status_code == 403
    own = ask(sqlite_api, headers=headers)  # of the only project that it has
    assert [one["number"] for one in own.json()["budgets"]] == [1, 2]

    refused = ask(sqlite_api, "1.50", headers=headers).json()["refused_by"]
    assert (refused["budget"], refused["spent"], refused["left"]) == ("project", "0.00", "1.00")
    whole = ask(sqlite_api, "4.50", headers=headers).json()
    assert (whole["refused_by"]["budget"], whole["refused_by"]["left"]) == ("whole", None)
    assert whole["detail"].startswith("budget 'whole' has not that much left, and 4.50 USD was asked for")

    for one, status in ((other, 404), (own.json()["reservation_id"], 200)):
        assert sqlite_api.post(f"/v1/reservations/{one}/settle", headers=headers).status_code == status
    assert sqlite_api.get("/v1/reservations", headers=sqlite_api.key("read", projects=["p"])).status_code == 403


def test_a_budget_without_an_end_says_no_time_to_come_again(api: Api) -> None:
    new = NewBudget("default", "once", "all", "1.00", stops=True)
    add_budget(api.engine, new, by="root", home=Home(), now=wiring_now() - timedelta(days=1))
    refused = ask(api, "1.01")
    assert (refused.status_code, refused.headers.get("retry-after")) == (402, None)
    assert refused.json()["refused_by"]["to"] is None
