"""Budgets and alerts over HTTP: the words of the command, within what the key may see."""

from __future__ import annotations

from typing import Any

from tests.api.serving import Api, posted, wiring_now
from tests.make import an_event

NOW_PRICED = "deepseek-v4-pro"
ASKED = {"account": "default", "budget": "search", "per": "day", "amount": "1.00", "where": ["project=search"]}


def today() -> str:
    text: str = wiring_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return text


def add(api: Api, **more: Any) -> Any:
    return api.post("/v1/budgets", json=ASKED | more)


def test_added_once_listed_with_what_is_spent_and_removed(api: Api) -> None:
    made = add(api, amount="10.00")
    assert (made.status_code, made.json()["created"], made.json()["filters"]) == (201, True, {"project": "search"})
    assert (add(api, amount="10.00").status_code, add(api).status_code) == (200, 409)
    events = [an_event("a", today(), project="search", model=NOW_PRICED), an_event("b", today(), model=NOW_PRICED)]
    assert api.post("/v1/events", json={"events": events}).status_code == 200
    posted(api)
    cost = api.get("/v1/events/a").json()["charge"]["cost"]
    (state,) = api.get("/v1/budgets").json()["data"]
    assert (state["spent"], state["crossed"]) == (cost, [])
    assert api.get("/v1/budgets/default/search").json() == state
    assert api.get("/v1/alerts").json() == {"data": [], "next_cursor": None}
    removed = api.delete("/v1/budgets/default/search")
    assert (removed.status_code, removed.json()["budget"]) == (200, "search")
    assert api.get("/v1/budgets/default/search").status_code == 404


def test_a_crossing_is_an_alert(api: Api) -> None:
    add(api, amount="0.10", at=["50%"], where=[], **{"from": "2025-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"})
    assert api.post("/v1/events", json=an_event("a", today(), model=NOW_PRICED)).status_code == 200
    posted(api)
    (alert,) = api.get("/v1/alerts", params={"account": "default", "limit": 5}).json()["data"]
    assert (alert["account"], alert["kind"], alert["threshold"], alert["recovered_at"]) == (
        "default", "budget", "50%", None
    )  # fmt: skip
    assert alert["facts"]["amount"] == "0.10"


def test_changed_it_says_something_else(api: Api) -> None:
    add(api)
    said = {name: value for name, value in ASKED.items() if name not in ("account", "budget")}
    for more, changed in (({"amount": "2.00", "stops": True}, True), ({"amount": "2.00", "stops": True}, False)):
        answer = api.put("/v1/budgets/default/search", json=said | more)
        assert (answer.status_code, answer.json()["changed"], answer.json()["amount"]) == (200, changed, "2.00")
    refused = api.put("/v1/budgets/default/search", json=said | {"per": "moon"})
    assert (refused.status_code, refused.json()["field"]) == (422, "per")
    assert api.put("/v1/budgets/default/other", json=said).status_code == 404
    assert api.put("/v1/budgets/default/search", json=ASKED).status_code == 422, "its name is in the path"


def test_how_it_burns(api: Api) -> None:
    add(api, amount="10.00", where=[])
    assert api.post("/v1/events", json=an_event("a", today(), project="p", model=NOW_PRICED)).status_code == 200
    posted(api)
    report = api.get("/v1/reports/budget", params={"account": "default", "budget": "search"}).json()
    (state,) = api.get("/v1/budgets").json()["data"]
    assert {name: report[name] for name in state} == state
    assert report["steps"]["rows"][-1]["so_far"] == report["mostly"]["rows"][0]["spent"] == state["spent"]
    assert (report["number"], report["steps"]["per"], report["mostly"]["by"]) == (1, "hour", "project")
    assert report["periods"] == []
    asked = {"account": "default", "budget": "search", "before": "yesterday"}
    assert api.get("/v1/reports/budget", params=asked).json()["field"] == "before"
    assert api.get("/v1/reports/budget", params=asked | {"budget": "x", "before": today()}).status_code == 404


def test_alerts_of_a_kind_and_those_that_stand(api: Api) -> None:
    add(api, amount="0.10", at=["50%"], where=[])
    assert api.post("/v1/events", json=an_event("a", today(), model=NOW_PRICED)).status_code == 200
    posted(api)
    (alert,) = api.get("/v1/alerts", params={"kind": "budget", "standing": True}).json()["data"]
    assert alert["title"].startswith("Budget search: ")
    assert alert["path"] == "/budgets/search?account=default"
    assert api.get("/v1/alerts", params={"kind": "unpriced"}).json()["data"] == []
    assert api.get("/v1/alerts", params={"kind": "moon"}).json()["field"] == "kind"


def test_a_key_sees_and_changes_its_accounts_only(sqlite_api: Api) -> None:
    for account in ("mine", "theirs"):
        add(sqlite_api, account=account)
    mine = sqlite_api.key("read", accounts=["mine"])
    assert [one["account"] for one in sqlite_api.get("/v1/budgets", headers=mine).json()["data"]] == ["mine"]
    assert sqlite_api.get("/v1/budgets/theirs/search", headers=mine).status_code == 403
    assert sqlite_api.get("/v1/alerts", params={"account": "theirs"}, headers=mine).status_code == 403
    assert sqlite_api.post("/v1/budgets", json=ASKED | {"account": "mine"}, headers=mine).status_code == 403
    assert sqlite_api.delete("/v1/budgets/mine/search", headers=mine).status_code == 403
    said = {"per": "day", "amount": "5.00"}
    assert sqlite_api.put("/v1/budgets/mine/search", json=said, headers=mine).status_code == 403
    theirs = sqlite_api.key("finance", accounts=["theirs"])
    assert sqlite_api.put("/v1/budgets/mine/search", json=said, headers=theirs).status_code == 403
    asked = {"account": "mine", "budget": "search"}
    assert sqlite_api.get("/v1/reports/budget", params=asked, headers=mine).status_code == 200
    assert sqlite_api.get("/v1/reports/budget", params=asked, headers=theirs).status_code == 403
    project = sqlite_api.key("finance", projects=["search"])
    assert sqlite_api.get("/v1/reports/budget", params=asked, headers=project).status_code == 403
    for path in ("/v1/budgets", "/v1/alerts", "/v1/budgets/mine/search"):
        assert sqlite_api.get(path, headers=project).status_code == 403


def test_what_is_wrong_is_named(sqlite_api: Api) -> None:
    for more, field in (
        ({"per": "moon"}, "per"),
        ({"where": ["a"]}, "where"),
        ({"amount": "-1"}, "amount"),
        ({"tokens": 5}, "amount"),
        ({"at": ["0%"]}, "threshold"),
        ({"timezone": "Mars"}, "timezone"),
        ({"from": "yesterday"}, "from"),
        ({"budget": "/"}, "budget"),
    ):
        refused = add(sqlite_api, **more)
        assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert add(sqlite_api, colour="red").status_code == 422
