"""Digests over HTTP: the shape of the command, within what the key may see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from costmeter.core.periods import format_instant
from tests.api.serving import Api, posted
from tests.make import an_event

PATH = "/v1/reports/digest"


def yesterday(api: Api, *accounts: str) -> None:
    at = format_instant(datetime.now(UTC) - timedelta(days=1))
    events = [an_event(name, at, model="deepseek-flash", account=name) for name in accounts]
    assert api.post("/v1/events", json={"events": events}).status_code == 200
    for name in accounts:
        posted(api, name)


def test_it_answers_in_the_shape_of_the_command(api: Api) -> None:
    yesterday(api, "default")
    shape = api.get(PATH).json()
    assert (shape["digest"], shape["account"], shape["spend"]["calls"]) == ("daily", "default", 1)
    report = api.get("/v1/reports/spend", params={"from": shape["from"], "to": shape["to"]}).json()
    assert shape["spend"]["cost"] == report["totals"]["cost"]
    assert api.get(PATH, params={"kind": "monthly"}).json()["digest"] == "monthly"


def test_a_key_sees_whole_accounts_that_are_its_own(sqlite_api: Api) -> None:
    yesterday(sqlite_api, "mine", "theirs")
    assert sqlite_api.get(PATH, params={"currency": "USD"}).json()["accounts"] == 2
    of_one = sqlite_api.key("read", accounts=["mine"])
    assert sqlite_api.get(PATH, headers=of_one).json()["account"] == "mine"
    assert sqlite_api.get(PATH, params={"account": "theirs"}, headers=of_one).status_code == 403
    assert sqlite_api.get(PATH, headers=sqlite_api.key("read", projects=["p"])).status_code == 403


def test_what_is_wrong_is_a_problem(sqlite_api: Api) -> None:
    for asked in ({"kind": "hourly"}, {"currency": "EUR"}):
        assert sqlite_api.get(PATH, params=asked).status_code == 422
    assert sqlite_api.get(PATH, params={"account": "nobody"}).status_code == 404
