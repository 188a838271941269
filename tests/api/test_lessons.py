"""What a month teaches over HTTP: the shape of the command, within what the key may see."""

from __future__ import annotations

from tests.api.serving import Api, posted
from tests.make import an_event

PATH = "/v1/reports/lessons"


def test_it_answers_in_the_shape_of_the_command(api: Api) -> None:
    events = [an_event("a", project="search"), an_event("b", model="deepseek-reasoner")]
    assert api.post("/v1/events", json={"events": events}).status_code == 200
    posted(api)
    answer = api.get(PATH, params={"month": "2025-03"})
    assert answer.json()["totals"]["off_peak_missed"] == "2.19"  # 0.55 and 1.64
    assert [one["name"] for one in answer.json()["movers"]["project"]] == [None, "search"]
    again = api.get(PATH, params={"month": "2025-03"}, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    lines = api.get(PATH, params={"month": "2025-03", "format": "csv"}).text.splitlines()
    assert lines[0].startswith("project,model,calls,unpriced,cost,")
    assert len(lines) == 3


def test_a_key_sees_its_account_and_its_project_only(sqlite_api: Api) -> None:
    calls = [an_event(name, account=account, project=name) for name in "pq" for account in ("mine", "theirs")]
    sqlite_api.post("/v1/events", json={"events": calls})
    for account in ("mine", "theirs"):
        posted(sqlite_api, account)
    of_one = sqlite_api.key("read", accounts=["mine"])
    assert sqlite_api.get(PATH, params={"month": "2025-03"}, headers=of_one).json()["account"] == "mine"
    other = sqlite_api.get(PATH, params={"month": "2025-03", "account": "theirs"}, headers=of_one)
    assert other.status_code == 403
    project = sqlite_api.key("read", projects=["p"])
    shape = sqlite_api.get(PATH, params={"month": "2025-03", "account": "mine"}, headers=project).json()
    assert [row["project"] for row in shape["rows"]] == ["p"]
    assert [one["name"] for one in shape["movers"]["project"]] == ["p"]


def test_what_is_wrong_is_a_problem(sqlite_api: Api) -> None:
    assert sqlite_api.get(PATH).status_code == 422
    wrong = sqlite_api.get(PATH, params={"month": "March"}).json()
    assert (wrong["type"], wrong["field"]) == ("/problems/invalid-input", "month")
    assert sqlite_api.get(PATH, params={"month": "2025-03", "account": "nobody"}).status_code == 404
