"""Prices, quarantine, keys, and what operators ask: each in the words of the command line, mistakes by name."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Connection

from costmeter.core.watch import KINDS, UNPRICED
from costmeter.store import alerts
from costmeter.store.alerts import Crossing
from costmeter.store.engine import in_transaction
from tests.api.serving import Api, posted, until, wiring_now
from tests.cli.running import Run
from tests.make import an_event

GRANT = {"kind": "granted", "amount": "5.00", "effective_at": "2025-03-01T00:00:00Z", "reference": "gift"}
ACCOUNT = "/v1/accounts/default"


def send(api: Api, *events: object) -> None:
    assert api.post("/v1/events", json={"events": list(events)}).json()["results"] == []
    posted(api)


class TestPrices:
    def test_they_are_told_with_source_and_band(self, sqlite_api: Api) -> None:
        now = sqlite_api.get("/v1/prices", params={"at": "2025-03-01T16:30:00Z"}).json()
        assert {(row["model"], row["band"]) for row in now["prices"]} >= {("deepseek-chat", "off_peak")}
        one = sqlite_api.get("/v1/prices/deepseek-chat", params={"at": "2025-03-01T16:30:00Z"}).json()
        assert one["source"].startswith("api-docs.deepseek.com")
        history = sqlite_api.get("/v1/prices/deepseek-chat/history")
        assert len(history.json()) >= 5
        tag = {"If-None-Match": history.headers["etag"]}
        assert sqlite_api.get("/v1/prices/deepseek-chat/history", headers=tag).status_code == 304
        assert "problems" in sqlite_api.get("/v1/prices/check").json()
        assert sqlite_api.get("/v1/prices/gpt-17").status_code == 404

    CALL = an_event(None, "2025-03-01T16:30:00Z", hit=512, miss=51, output=116, model="deepseek-reasoner")

    def test_a_quote_is_what_the_command_prints(self, sqlite_api: Api, run: Run) -> None:
        quoted = sqlite_api.post("/v1/quote", json=self.CALL).json()
        options = [
            "--cache-hit",
            "512",
            "--cache-miss",
            "51",
            "--output",
            "116",
            "--completed-at",
            "2025-03-01T16:30:00Z",
        ]
        assert quoted == run("quote", "--model", "deepseek-reasoner", *options, "--json").json

    def test_many_are_quoted_in_order_and_one_without_a_price_says_so_in_place(self, sqlite_api: Api) -> None:
        calls = [self.CALL, {**self.CALL, "model": "gpt-17"}, {**self.CALL, "currency": "CNY"}]
        quotes = sqlite_api.post("/v1/quote", json={"calls": calls}).json()["quotes"]
        assert [quote.get("currency") for quote in quotes] == ["USD", None, "CNY"]
        assert "no price for model 'gpt-17'" in quotes[1]["error"]

    def test_one_without_a_price_is_a_problem(self, sqlite_api: Api) -> None:
        answer = sqlite_api.post("/v1/quote", json={**self.CALL, "model": "gpt-17"})
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/no-price")

    @pytest.mark.parametrize("body", [{}, [], {"calls": [{}]}, {**CALL, "usage": 1}, {**CALL, "completed_at": "now"}])
    def test_a_mistake_is_a_422(self, sqlite_api: Api, body: object) -> None:
        assert sqlite_api.post("/v1/quote", json=body).status_code == 422


class TestQuarantine:
    def test_an_item_is_seen_sent_again_and_discarded(self, api: Api) -> None:
        refused = [an_event("a", completed_at="x"), an_event("b", completed_at="x")]
        api.post("/v1/events", json={"events": refused})
        listed = api.get("/v1/quarantine").json()["data"]
        first, second = (item["item"] for item in listed)

        assert api.get(f"/v1/quarantine/{first}").json() == listed[0]
        again = api.post("/v1/quarantine/replay", json={"all": True}).json()
        assert [item["state"] for item in again["items"]] == ["open", "open"]
        assert again["quarantined"] == 2
        said = {"items": [first], "reason": "a test"}
        assert api.post("/v1/quarantine/discard", json=said).json() == {"discarded": [first]}
        assert api.post("/v1/quarantine/discard", json=said).status_code == 422
        assert [item["item"] for item in api.get("/v1/quarantine").json()["data"]] == [second]
        discarded = api.get("/v1/quarantine", params={"state": "discarded"}).json()["data"]
        assert [item["reason"] for item in discarded] == ["a test"]
        assert discarded[0]["decided_by"].startswith("key key-")

    def test_pages_have_every_item_once(self, api: Api) -> None:
        api.post("/v1/events", json={"events": [an_event(f"e{n}", completed_at="x") for n in range(5)]})
        found: list[str] = []
        cursor = None
        for _ in range(3):
            page = api.get("/v1/quarantine", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            found, cursor = found + [item["event_id"] for item in page["data"]], page["next_cursor"]
        assert (sorted(found), cursor) == ([f"e{n}" for n in range(5)], None)

    def test_an_unknown_item_is_a_404_and_a_wrong_name_a_422(self, api: Api) -> None:
        assert api.get(f"/v1/quarantine/{'00' * 16}").status_code == 404
        assert api.get("/v1/quarantine/x").status_code == 422
        assert api.post("/v1/quarantine/replay", json={}).status_code == 422


class TestKeys:
    def test_one_is_made_shown_once_rotated_and_revoked(self, api: Api) -> None:
        made = api.post("/v1/keys", json={"name": "backend", "roles": ["read"]})
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        first = {"Authorization": f"Bearer {made.json()['key']}"}
        assert api.get("/v1/accounts", headers=first).status_code == 200

        rotated = api.post("/v1/keys/backend/rotate", json={"overlap_hours": 1}).json()
        second = {"Authorization": f"Bearer {rotated['key']}"}
        assert [api.get("/v1/accounts", headers=key).status_code for key in (first, second)] == [200, 200]

        revoked = api.post("/v1/keys/backend/revoke", json={"reason": "leaked"}).json()["data"]
        assert len(revoked) == 2
        until(lambda: api.get("/v1/accounts", headers=first).status_code == 401)
        until(lambda: api.get("/v1/accounts", headers=second).status_code == 401)
        listed = api.get("/v1/keys")
        secrets = [key.split("_")[2] for key in (made.json()["key"], rotated["key"])]
        assert not any(secret in listed.text for secret in secrets)
        told = [entry["action"] for entry in api.get("/v1/audit", params={"limit": 3}).json()["data"]]
        assert told == ["key.revoke", "key.revoke", "key.rotate"]

    def test_a_name_is_that_of_one_active_key(self, api: Api) -> None:
        asked = {"name": "backend", "roles": ["ingest"]}
        assert [api.post("/v1/keys", json=asked).status_code for _ in range(2)] == [201, 409]
        assert api.post("/v1/keys", json={**asked, "name": "x", "roles": ["boss"]}).status_code == 422
        assert api.post("/v1/keys/nobody/revoke", json={}).status_code == 404

    def test_limits_are_made_shown_and_set_anew(self, api: Api) -> None:
        limits = {"calls_per_minute": 60, "calls_at_once": 4}
        made = api.post("/v1/keys", json={"name": "backend", "roles": ["call"], **limits})
        assert limits.items() <= made.json().items()
        (limited,) = api.post("/v1/keys/backend/limit", json={"calls_at_once": 8}).json()["data"]
        assert (limited["calls_per_minute"], limited["calls_at_once"]) == (None, 8)
        (listed,) = [key for key in api.get("/v1/keys").json()["data"] if key["name"] == "backend"]
        assert (listed["calls_per_minute"], listed["calls_at_once"]) == (None, 8)
        refused = api.post("/v1/keys/backend/limit", json={"calls_at_once": 0})
        assert (refused.status_code, refused.json()["field"]) == (422, "calls_at_once")

    def test_the_audit_log_says_which_key_changed_what(self, api: Api) -> None:
        key = api.key("finance", accounts=["default"])
        api.post(f"{ACCOUNT}/credits", json=GRANT, headers=key)
        (entry,) = api.get("/v1/audit", headers=key).json()["data"]
        assert (entry["action"], entry["subject"], entry["account"]) == ("credit.add", "gift", "default")
        assert entry["by"].startswith("key key-")
        assert entry["change"]["amount"] == "5.00"


class TestOperation:
    def test_health_and_version_need_no_key(self, api: Api) -> None:
        none = {"Authorization": ""}
        for path in ("/healthz", "/readyz", "/version", "/openapi.json", "/problems/conflict"):
            assert api.get(path, headers=none).status_code == 200, path

    def test_every_problem_is_explained(self, sqlite_api: Api) -> None:
        from costmeter.api.problems import KINDS

        for name, kind in KINDS.items():
            told = sqlite_api.get(f"/problems/{name}").text
            assert told == f"{kind.title} ({kind.status})\n\n{kind.remedy}\n"
        assert sqlite_api.get("/problems/none").status_code == 404

    def test_metrics_tell_what_came_and_how_the_books_stand(self, api: Api) -> None:
        send(api, an_event("a"))
        api.post("/v1/events", json=an_event("a"))
        api.post("/v1/events", json=an_event("b", completed_at="x"))
        lines = api.get("/metrics").text.splitlines()
        assert 'costmeter_events_total{outcome="accepted"} 1.0' in lines
        assert 'costmeter_events_total{outcome="duplicates"} 1.0' in lines
        assert 'costmeter_http_requests_total{method="POST",route="/v1/events",status="422"} 1.0' in lines
        assert "costmeter_unposted_calls 0.0" in lines
        assert "costmeter_quarantined_items 1.0" in lines
        assert "costmeter_scheduler_holds_lease 0.0" in lines
        assert any(line.startswith("costmeter_build_info{edition=") for line in lines)

    def test_metrics_tell_what_waits_and_what_stands(self, api: Api) -> None:
        quiet = {"costmeter_unposted_seconds 0.0", "costmeter_deliveries_given_up 0.0"}
        quiet |= {f'costmeter_alerts_standing{{kind="{kind}"}} 0.0' for kind in KINDS}
        assert quiet <= {*api.get("/metrics").text.splitlines()}

        def raise_two(connection: Connection) -> None:
            for account in ("a", "b"):
                crossing = Crossing(account, UNPRICED, "1", "1 call")
                assert alerts.raise_once(connection, crossing, UNPRICED, {}, now=wiring_now())
            assert alerts.raise_once(connection, Crossing("a", "budget b", "1", "80%"), "budget", {}, now=wiring_now())

        in_transaction(api.engine, raise_two)
        told = {line for line in api.get("/metrics").text.splitlines() if line.startswith("costmeter_alerts_standing")}
        assert 'costmeter_alerts_standing{kind="unpriced"} 2.0' in told
        assert len(told) == len(KINDS)

    def test_metrics_tell_how_the_jobs_of_the_scheduler_went(self, api: Api) -> None:
        from costmeter import wiring

        wiring.open_scheduler(api.engine).run_once()
        lines = api.get("/metrics").text.splitlines()
        assert 'costmeter_job_went_well{job="post"} 1.0' in lines
        assert any(line.startswith('costmeter_job_finished_seconds{job="verify"} 1.') for line in lines)

    def test_a_request_keeps_the_id_that_it_comes_with(self, sqlite_api: Api) -> None:
        own = {"X-Request-ID": "abc-123"}
        assert sqlite_api.get("/healthz", headers=own).headers["x-request-id"] == "abc-123"
        for bad in ("a b", "x" * 200, 'a"b', "<script>"):
            assert sqlite_api.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad

    def test_a_path_or_a_method_that_is_not_there_is_a_problem(self, sqlite_api: Api) -> None:
        missing = sqlite_api.get("/v1/nothing")
        assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
        wrong = sqlite_api.delete("/v1/accounts")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST")
        assert wrong.json()["detail"] == "DELETE is none of GET, POST"

    def test_without_a_schema_it_is_not_ready(self, sqlite_api: Api) -> None:
        from sqlalchemy import text

        with sqlite_api.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        answer = sqlite_api.get("/readyz")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "run: costmeter db upgrade" in answer.json()["detail"]
        assert sqlite_api.get("/healthz").status_code == 200


def test_answers_are_compact_utf8(sqlite_api: Api) -> None:
    sqlite_api.post("/v1/accounts", json={"account": "größe"})
    answer = sqlite_api.get("/v1/accounts")
    assert "größe".encode() in answer.content
    assert json.loads(answer.content)["data"][0]["account"] == "größe"
