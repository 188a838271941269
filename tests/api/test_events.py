"""Usage events over HTTP: each once, refused ones kept and named, charged within a second, shown with their price."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from costmeter.services.freeze_account import freeze_account
from tests.api.serving import Api, posted, until
from tests.make import NOW, an_event, an_unmetered, at

COUNTS = ("accepted", "duplicates", "conflicts", "quarantined")


def outcome(answer: Any) -> tuple[int, ...]:
    assert answer.status_code == 200, answer.text
    return tuple(answer.json()[name] for name in COUNTS)


def ndjson(*events: object) -> bytes:
    return b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in events)


class TestOne:
    def test_it_is_recorded_before_the_answer(self, api: Api) -> None:
        answer = api.post("/v1/events", json=an_event("a"))

        assert outcome(answer) == (1, 0, 0, 0)
        assert answer.json()["results"] == []
        assert [call["event_id"] for call in api.get("/v1/events").json()["data"]] == ["a"]

    def test_it_is_charged_within_a_second_or_so(self, api: Api) -> None:
        api.post("/v1/events", json=an_event("a"))
        posted(api)

        assert api.get("/v1/events/a").json()["charge"]["cost"] == "1.10"

    def test_sent_again_it_is_a_duplicate_and_a_success(self, api: Api) -> None:
        api.post("/v1/events", json=an_event("a"))
        assert outcome(api.post("/v1/events", json=an_event("a"))) == (0, 1, 0, 0)

    def test_with_other_content_it_is_a_conflict_and_kept(self, api: Api) -> None:
        api.post("/v1/events", json=an_event("a"))
        answer = api.post("/v1/events", json=an_event("a", output=7))

        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "/problems/conflict"
        assert "event_id 'a'" in answer.json()["detail"]
        assert [item["kind"] for item in api.get("/v1/quarantine").json()["data"]] == ["conflict"]

    def test_one_that_cannot_be_used_is_refused_by_name_and_kept(self, api: Api) -> None:
        answer = api.post("/v1/events", json=an_event("a", completed_at="yesterday"))

        assert answer.status_code == 422
        assert answer.json() == {
            "type": "/problems/invalid-input",
            "title": "A value cannot be used",
            "status": 422,
            "detail": answer.json()["detail"],
            "quarantined": True,
        }
        assert answer.json()["detail"].startswith("completed_at 'yesterday': ")
        assert [item["event_id"] for item in api.get("/v1/quarantine").json()["data"]] == ["a"]

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
    def test_what_is_no_json_is_a_400_and_nothing_is_kept(self, sqlite_api: Api, body: bytes) -> None:
        answer = sqlite_api.post("/v1/events", content=body, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/body-unreadable")
        assert sqlite_api.get("/v1/quarantine").json()["data"] == []

    @pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null"])
    def test_json_that_is_no_event_is_kept_as_that(self, sqlite_api: Api, body: bytes) -> None:
        answer = sqlite_api.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert len(sqlite_api.get("/v1/quarantine").json()["data"]) == 1

    def test_another_content_type_is_refused(self, sqlite_api: Api) -> None:
        answer = sqlite_api.post("/v1/events", content=b"a,b", headers={"Content-Type": "text/csv"})
        assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


class TestMany:
    def test_each_is_counted_and_what_is_refused_is_named_by_its_place(self, api: Api) -> None:
        events = [an_event("a"), an_event("a"), an_event("b", model=None), an_unmetered("c"), an_event("a", output=1)]
        answer = api.post("/v1/events", json={"events": events})

        assert outcome(answer) == (2, 1, 1, 1)
        assert answer.json()["unmetered"] == 1
        assert [(one["index"], one["kind"]) for one in answer.json()["results"]] == [(2, "refused"), (4, "conflict")]

    def test_ndjson_keeps_a_broken_line_as_its_hash(self, api: Api) -> None:
        body = ndjson(an_event("a"), b'{"secret": "sk-0123456789abcdef", ', an_event("b"), b"")
        answer = api.post("/v1/events", content=body, headers={"Content-Type": "application/x-ndjson"})

        assert outcome(answer) == (2, 0, 0, 1)
        (item,) = api.get("/v1/quarantine").json()["data"]
        assert (item["kind"], item["place"]) == ("malformed", "http:1")
        assert "secret" not in json.dumps(item)

    def test_gzip_is_unpacked(self, api: Api) -> None:
        packed = gzip.compress(ndjson(*[an_event(f"e{n}") for n in range(500)]))
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        assert outcome(api.post("/v1/events", content=packed, headers=headers)) == (500, 0, 0, 0)
        assert outcome(api.post("/v1/events", content=packed, headers=headers)) == (0, 500, 0, 0)

    def test_equal_events_without_ids_are_two_in_one_request_and_the_request_again_is_once(self, api: Api) -> None:
        body = {"events": [an_event(None), an_event(None)]}
        assert outcome(api.post("/v1/events", json=body)) == (2, 0, 0, 0)
        assert outcome(api.post("/v1/events", json=body)) == (0, 2, 0, 0)

    def test_an_empty_list_is_nothing(self, api: Api) -> None:
        assert outcome(api.post("/v1/events", json={"events": []})) == (0, 0, 0, 0)


class TestListed:
    def test_pages_have_every_call_once_the_last_first(self, api: Api) -> None:
        for number in range(7):
            api.post("/v1/events", json=an_event(f"e{number}"))
        found, cursor = [], None
        while True:
            answer = api.get("/v1/events", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
            found += [call["event_id"] for call in answer["data"]]
            cursor = answer["next_cursor"]
            if cursor is None:
                break
        assert found == [f"e{number}" for number in reversed(range(7))]

    def test_they_are_chosen_by_project_status_and_completion(self, api: Api) -> None:
        events = [
            an_event("a", project="x"),
            an_event("b", project="y"),
            an_unmetered("c", project="x"),
            an_event("d", "2025-03-04T12:00:00Z", project="x"),
        ]
        api.post("/v1/events", json={"events": events})

        def ids(**params: str) -> list[str]:
            return sorted(call["event_id"] for call in api.get("/v1/events", params=params).json()["data"])

        assert ids(project="x") == ["a", "c", "d"]
        assert ids(status="unmetered") == ["c"]
        assert ids(**{"from": "2025-03-04T00:00:00Z"}) == ["d"]
        assert ids(to="2025-03-04T00:00:00Z", project="x") == ["a", "c"]

    def test_they_are_chosen_by_everything_that_a_report_can_be_of(self, api: Api) -> None:
        events = [
            an_event("a", "2025-03-01T12:00:00Z", user="u", api_key="k", tags={"team": "t"}),
            an_event("b", "2025-03-01T17:00:00Z", user="v", model="deepseek-chat"),
            an_unmetered("c", "2025-03-31T23:00:00Z", user="u"),
            an_event("d", "2025-04-01T00:00:00Z", model="deepseek-x"),
        ]
        api.post("/v1/events", json={"events": events})
        posted(api)

        def ids(**params: Any) -> list[str]:
            return sorted(call["event_id"] for call in api.get("/v1/events", params=params).json()["data"])

        assert ids(where="user=u") == ["a", "c"]
        assert ids(where=["user=u", "api_key=k"]) == ["a"]
        assert ids(where="tag:team=t") == ["a"]
        assert ids(where="model=deepseek-x") == ["d"]
        bands = {call["event_id"]: (call["charge"] or {}).get("band") for call in api.get("/v1/events").json()["data"]}
        assert bands == {"a": "standard", "b": "off_peak", "c": None, "d": None}
        assert ids(where="band=off_peak") == ["b"]
        assert ids(month="2025-03") == ["a", "b", "c"]
        assert ids(month="2025-04") == ["d"]
        assert ids(status="unpriced") == ["d"]
        assert ids(status="unposted") == ids(status="provisional") == []

    def test_a_call_that_waits_is_unposted(self, sqlite_api: Api) -> None:
        sqlite_api.post("/v1/events", json=an_event("posted"))
        posted(sqlite_api)
        freeze_account(sqlite_api.engine, "default", by="verify", reason="promise 6", now=at(NOW))
        sqlite_api.post("/v1/events", json={"events": [an_event("a"), an_unmetered("b")]})
        listed = sqlite_api.get("/v1/events", params={"status": "unposted"}).json()["data"]
        assert [call["event_id"] for call in listed] == ["a"]

    @pytest.mark.parametrize(
        ("params", "says"),
        [
            ({"month": "March"}, "month 'March': write a month as YYYY-MM"),
            ({"where": "colour=red"}, "where 'colour=red'"),
            ({"cursor": "x"}, "cursor"),
            ({"limit": "0"}, "limit '0': "),
            ({"limit": "1001"}, "limit"),
            ({"status": "lost"}, "status 'lost': use one of ok, failed, unmetered, unpriced, provisional, unposted"),
            ({"from": "2025-03-04"}, "from '2025-03-04': "),
        ],
    )
    def test_what_cannot_be_asked_is_refused_by_name(self, sqlite_api: Api, params: dict[str, str], says: str) -> None:
        sqlite_api.post("/v1/events", json=an_event("a"))
        answer = sqlite_api.get("/v1/events", params=params)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-input")
        assert says in answer.json()["detail"]


class TestShown:
    def test_how_its_cost_came_about(self, api: Api) -> None:
        credit = {"kind": "granted", "amount": "1.00", "effective_at": "2025-03-01T00:00:00Z"}
        api.post("/v1/accounts/default/credits", json=credit)
        api.post("/v1/accounts/default/credits", json={**credit, "kind": "topped_up"})
        api.post("/v1/events", json=an_event("a"))
        posted(api)

        charge = api.get("/v1/events/a").json()["charge"]
        assert charge["tariff"] == "deepseek-v3/2025-02-26"
        assert charge["tariff_in_full"]["source"].startswith("api-docs.deepseek.com/")
        assert {"meter": "output", "quantity": 1_000_000, "unit": "tokens", "rate": "1.10", "per": 1_000_000,
                "amount": "1.10"} in charge["lines"]  # fmt: skip
        assert charge["deductions"] == [
            {"credit_id": 1, "kind": "granted", "amount": "1.00"},
            {"credit_id": 2, "kind": "topped_up", "amount": "0.10"},
        ]

    def test_one_without_a_price_says_why(self, api: Api) -> None:
        api.post("/v1/events", json=an_event("a", model="deepseek-unheard-of"))
        posted(api)

        charge = api.get("/v1/events/a").json()["charge"]
        assert (charge["status"], charge["cost"], charge["lines"]) == ("unpriced", None, [])
        assert "deepseek-unheard-of" in charge["reason"]

    def test_an_unmetered_one_has_no_charge(self, api: Api) -> None:
        api.post("/v1/events", json=an_unmetered("a"))
        assert api.get("/v1/events/a").json()["charge"] is None

    def test_one_without_an_id_is_shown_by_the_id_that_it_got(self, api: Api) -> None:
        api.post("/v1/events", json=an_event(None))
        (listed,) = api.get("/v1/events").json()["data"]
        assert api.get(f"/v1/events/{listed['event_id']}").json()["model"] == "deepseek-chat"

    def test_an_unknown_one_is_a_404(self, api: Api) -> None:
        api.post("/v1/events", json=an_event("a"))
        answer = api.get("/v1/events/b")
        assert (answer.status_code, answer.json()["detail"]) == (404, "account 'default' has no event 'b'")


class TestLimitedKeys:
    def test_an_event_gets_the_only_account_and_project_of_the_key(self, api: Api) -> None:
        key = api.key("ingest", accounts=["team"], projects=["search"])
        assert outcome(api.post("/v1/events", json=an_event("a"), headers=key)) == (1, 0, 0, 0)
        assert api.get("/v1/events/a", params={"account": "team"}).json()["project"] == "search"

    @pytest.mark.parametrize("event", [{"account": "other"}, {"account": 1}, {"account": ["team"]}])
    def test_an_event_of_another_account_keeps_the_whole_request_out(self, api: Api, event: dict[str, object]) -> None:
        key = api.key("ingest", accounts=["team"])
        events = [an_event("a", account="team"), an_event("b") | event]
        answer = api.post("/v1/events", json={"events": events}, headers=key)

        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
        assert answer.json()["detail"].startswith("http:1: ")
        assert api.get("/v1/accounts").json()["data"] == []
        assert api.get("/v1/quarantine").json()["data"] == []

    def test_of_several_accounts_one_must_be_named(self, api: Api) -> None:
        key = api.key("ingest", accounts=["a", "b"])
        answer = api.post("/v1/events", json=an_event("x"), headers=key)
        assert answer.status_code == 403
        assert "this key has several accounts; name one of a, b" in answer.json()["detail"]


def test_a_call_of_another_project_is_not_shown(api: Api) -> None:
    api.post("/v1/events", json={"events": [an_event("a", project="x"), an_event("b", project="y")]})
    key = api.key("read", projects=["x"])
    assert [call["event_id"] for call in api.get("/v1/events", headers=key).json()["data"]] == ["a"]
    assert api.get("/v1/events/a", headers=key).status_code == 200
    assert api.get("/v1/events/b", headers=key).status_code == 403


def test_what_another_process_recorded_is_posted_too(api: Api) -> None:
    from tests.make import record

    record(api.engine, an_event("a"))
    until(lambda: api.get("/v1/events/a").json()["charge"])
