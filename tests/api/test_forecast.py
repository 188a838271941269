"""Forecasts over HTTP: the shape of the command, within what the key may see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from costmeter.client.client import Client
from costmeter.core.periods import format_instant
from tests.api.serving import Api, posted
from tests.make import an_event

PATH = "/v1/reports/forecast"


def fill(api: Api, account: str, *projects: str) -> None:
    """A call a day and project for four weeks, until some minutes ago."""
    newest = datetime.now(UTC) - timedelta(minutes=10)
    events = [
        an_event(f"{account}-{project}-{day}", format_instant(newest - timedelta(days=day)), model="deepseek-flash")
        | {"account": account, "project": project}
        for day in range(28)
        for project in projects
    ]
    assert api.post("/v1/events", json={"events": events}).status_code == 200
    posted(api, account)


def test_it_answers_in_the_shape_of_the_command(api: Api) -> None:
    fill(api, "default", "search")
    shape = api.get(PATH).json()
    spend = api.get("/v1/reports/spend", params={"month": shape["month"]}).json()
    assert shape["spent"] == spend["totals"]["cost"]
    assert (shape["account"], shape["unit"], shape["reason"]) == ("default", "USD", None)
    assert shape["forecast"]["basis"]["days"] in (26, 27)
    assert shape["runway"]["reason"] == "no credit was ever added: the balance is not tracked"
    key = api.headers["authorization"].removeprefix("Bearer ")
    with Client(str(api.base_url), api_key=key) as client:
        told = client.forecast(where=["project=search"], unit="tokens")
    assert (told.unit, told.where, told.runway) == ("tokens", {"project": "search"}, None)
    assert told.start == shape["from"]


def test_a_key_sees_its_account_and_its_project_only(sqlite_api: Api) -> None:
    fill(sqlite_api, "mine", "p", "q")
    fill(sqlite_api, "theirs", "p")
    of_one = sqlite_api.key("read", accounts=["mine"])
    assert sqlite_api.get(PATH, headers=of_one).json()["account"] == "mine"
    assert sqlite_api.get(PATH, params={"account": "theirs"}, headers=of_one).status_code == 403
    of_project = sqlite_api.key("read", projects=["p"])
    shape = sqlite_api.get(PATH, params={"account": "mine"}, headers=of_project).json()
    assert (shape["where"], shape["runway"]) == ({"project": "p"}, None)
    asked = {"account": "mine", "where": "project=q"}
    assert sqlite_api.get(PATH, params=asked, headers=of_project).status_code == 403


def test_what_is_wrong_is_a_problem(sqlite_api: Api) -> None:
    fill(sqlite_api, "default", "p")
    for asked, field in (({"month": "March"}, "month"), ({"month": "2999-01"}, "month"), ({"unit": "EUR"}, "unit")):
        wrong = sqlite_api.get(PATH, params=asked)
        assert (wrong.status_code, wrong.json()["field"]) == (422, field)
    assert sqlite_api.get(PATH, params={"account": "nobody"}).status_code == 404
