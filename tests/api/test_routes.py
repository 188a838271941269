"""Accounts, credits, ledger and reports: the same words and numbers as the command line, and what a mistake is told."""

from __future__ import annotations

import csv
import io

import pytest

from costmeter.exports.content import Content
from costmeter.exports.format import MEDIA_TYPES, Format, parts
from costmeter.exports.kinds import EXPORTS
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from tests.api.serving import Api, posted
from tests.cli.running import Run
from tests.make import an_event, an_unmetered

GRANT = {"kind": "granted", "amount": "5.00", "effective_at": "2025-03-01T00:00:00Z", "reference": "gift"}
ACCOUNT = "/v1/accounts/default"


def send(api: Api, *events: object) -> None:
    assert api.post("/v1/events", json={"events": list(events)}).json()["results"] == []
    posted(api)


class TestAccounts:
    def test_one_is_added_once(self, api: Api) -> None:
        asked = {"account": "asia", "currency": "CNY", "timezone": "Asia/Shanghai"}
        first, again = (api.post("/v1/accounts", json=asked) for _ in range(2))

        assert (first.status_code, again.status_code) == (201, 200)
        assert (first.json()["created"], again.json()["created"]) == (True, False)
        assert {**asked, "frozen_at": None}.items() <= api.get("/v1/accounts/asia").json().items()

    def test_they_are_listed_by_pages(self, api: Api) -> None:
        for name in ("b", "a", "c"):
            api.post("/v1/accounts", json={"account": name})
        first = api.get("/v1/accounts", params={"limit": 2}).json()
        rest = api.get("/v1/accounts", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [[one["account"] for one in page["data"]] for page in (first, rest)] == [["a", "b"], ["c"]]
        assert rest["next_cursor"] is None

    def test_currency_and_zone_are_fixed_by_the_first_entry(self, api: Api) -> None:
        send(api, an_event("a"))
        answer = api.post("/v1/accounts", json={"account": "default", "currency": "CNY"})
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/conflict")

    @pytest.mark.parametrize(
        ("asked", "says"),
        [
            ({"account": "a", "currency": "EUR"}, "currency 'EUR'"),
            ({"account": "a", "timezone": "Mars/Base"}, "timezone 'Mars/Base'"),
            ({"account": " "}, "account ' '"),
            ({"account": 7}, "account 7: Input should be a valid string"),
            ({}, "account: Field required"),
            ({"account": "a", "colour": "red"}, "colour 'red': Extra inputs are not permitted"),
        ],
    )
    def test_a_mistake_is_named(self, sqlite_api: Api, asked: dict[str, object], says: str) -> None:
        answer = sqlite_api.post("/v1/accounts", json=asked)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-input")
        assert says in answer.json()["detail"]


class TestCredits:
    def test_with_a_reference_one_is_added_once(self, api: Api) -> None:
        first, again = (api.post(f"{ACCOUNT}/credits", json=GRANT) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["credit_id"] == again.json()["credit_id"] == 1
        other = api.post(f"{ACCOUNT}/credits", json={**GRANT, "amount": "6.00"})
        assert (other.status_code, other.json()["field"]) == (409, "reference")

    def test_an_idempotency_key_stands_for_a_reference(self, api: Api) -> None:
        asked = {"kind": "topped_up", "amount": "1.00"}
        key = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
        answers = [api.post(f"{ACCOUNT}/credits", json=asked, headers=key).status_code for _ in range(3)]
        assert answers == [201, 200, 200]
        assert api.post(f"{ACCOUNT}/credits", json={**asked, "amount": "2.00"}, headers=key).status_code == 409
        assert [api.post(f"{ACCOUNT}/credits", json=asked).status_code for _ in range(2)] == [201, 201]

    def test_they_are_listed_with_what_is_left(self, api: Api) -> None:
        api.post(f"{ACCOUNT}/credits", json=GRANT)
        api.post(f"{ACCOUNT}/credits", json={**GRANT, "kind": "topped_up", "reference": "paid"})
        send(api, an_event("a"))
        first = api.get(f"{ACCOUNT}/credits", params={"limit": 1}).json()
        rest = api.get(f"{ACCOUNT}/credits", params={"cursor": first["next_cursor"]}).json()
        assert [(one["reference"], one["remaining"]) for one in first["data"] + rest["data"]] == [
            ("gift", "3.90"),
            ("paid", "5.00"),
        ]

    def test_one_is_taken_back_once(self, api: Api) -> None:
        api.post(f"{ACCOUNT}/credits", json=GRANT)
        said = {"reference": "gift", "reason": "entered twice"}
        assert api.post(f"{ACCOUNT}/credits/void", json=said).json()["voided"]["reason"] == "entered twice"
        assert api.post(f"{ACCOUNT}/credits/void", json=said).status_code == 409
        assert api.post(f"{ACCOUNT}/credits/void", json={**said, "reference": "x"}).status_code == 404

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            ({"amount": 5}, "amount 5: Input should be a valid string"),
            ({"amount": "5.0000000000001"}, "amount '5.0000000000001': finer than 10^-12"),
            ({"amount": "0"}, "amount"),
            ({"kind": "gift"}, "kind 'gift': use one of granted, topped_up"),
            ({"effective_at": "2025-03-01"}, "effective_at '2025-03-01': "),
            ({"kind": "topped_up", "expires_at": "2026-03-01T00:00:00Z"}, "topped-up balance does not expire"),
        ],
    )
    def test_a_mistake_is_named(self, sqlite_api: Api, more: dict[str, object], says: str) -> None:
        answer = sqlite_api.post(f"{ACCOUNT}/credits", json={**GRANT, **more})
        assert answer.status_code == 422
        assert says in answer.json()["detail"]


class TestBalanceAndLedger:
    def test_the_balance_is_in_deepseeks_shape_and_exact(self, api: Api) -> None:
        api.post(f"{ACCOUNT}/credits", json=GRANT)
        send(api, an_event("a", hit=1, output=1))
        assert api.get(f"{ACCOUNT}/balance").json() == {
            "is_available": True,
            "balance_infos": [
                {
                    "currency": "USD",
                    "total_balance": "4.99999883",
                    "granted_balance": "4.99999883",
                    "topped_up_balance": "0.00",
                }
            ],
        }
        before = api.get(f"{ACCOUNT}/balance", params={"at": "2025-03-02T00:00:00Z"}).json()
        assert before["balance_infos"][0]["total_balance"] == "5.00"

    def test_every_entry_of_the_ledger_sums_to_zero(self, api: Api) -> None:
        api.post(f"{ACCOUNT}/credits", json=GRANT)
        for number in range(3):
            send(api, an_event(f"e{number}"))
        first = api.get(f"{ACCOUNT}/ledger", params={"limit": 1}).json()
        entries = first["data"] + api.get(f"{ACCOUNT}/ledger", params={"cursor": first["next_cursor"]}).json()["data"]
        assert [entry["kind"] for entry in entries] == ["credit", "charges", "charges", "charges"]
        assert entries[1]["lines"] == {"granted": "-1.10", "usage_cost": "1.10"}
        for entry in entries:
            assert sum(round(float(amount) * 100) for amount in entry["lines"].values()) == 0

    @pytest.mark.parametrize("path", ["", "/balance", "/ledger", "/credits"])
    def test_an_unknown_account_is_a_404(self, api: Api, path: str) -> None:
        answer = api.get(f"/v1/accounts/nobody{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
        assert "no account 'nobody'" in answer.json()["detail"]

    def test_releasing_one_that_is_not_frozen_is_refused(self, api: Api) -> None:
        send(api, an_event("a"))
        answer = api.post(f"{ACCOUNT}/release", json={"reason": "checked"})
        assert (answer.status_code, answer.json()["field"]) == (422, "account")


class TestReports:
    EVENTS = (
        an_event("a", project="x", user="=HYPERLINK(1)"),
        an_event("b", project="y"),
        an_unmetered("c"),
        an_event("d", "2025-03-03T17:00:00Z", project="x"),
    )

    def test_a_report_is_what_the_command_prints(self, api: Api, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        send(api, *self.EVENTS)
        url = api.engine.url.render_as_string(hide_password=False)
        monkeypatch.setenv("COSTMETER_DATABASE_URL", url)
        asked = {"month": "2025-03", "by": "project,band", "timezone": "Asia/Shanghai", "where": "model=deepseek-chat"}
        options = [text for name, value in asked.items() for text in (f"--{name}", value)]

        assert api.get("/v1/reports/spend", params=asked).json() == run("report", *options, "--json").json
        printed = run("report", *options, "--format", "csv").done
        assert api.get("/v1/reports/spend", params={**asked, "format": "csv"}).text.splitlines() == printed.splitlines()

    def test_one_that_the_client_has_is_not_sent_again(self, api: Api) -> None:
        send(api, *self.EVENTS[:2])
        params = {"month": "2025-03"}
        tag = api.get("/v1/reports/spend", params=params).headers["etag"]
        again = api.get("/v1/reports/spend", params=params, headers={"If-None-Match": f'W/{tag}, "other"'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        send(api, self.EVENTS[3])
        newer = api.get("/v1/reports/spend", params=params, headers={"If-None-Match": tag})
        assert newer.status_code == 200
        assert newer.headers["etag"] != tag

    def test_two_currencies_are_never_summed(self, api: Api) -> None:
        api.post("/v1/accounts", json={"account": "asia", "currency": "CNY"})
        send(api, an_event("a"))
        answer = api.get("/v1/reports/spend", params={"month": "2025-03"})
        assert (answer.status_code, answer.json()["field"]) == (422, "currency")

    @pytest.mark.parametrize(
        ("params", "says"),
        [
            ({}, "month: give either a month, or from and to"),
            ({"month": "March"}, "month 'March'"),
            ({"month": "2025-03", "by": "colour"}, "by 'colour'"),
            ({"month": "2025-03", "where": "colour=red"}, "where 'colour=red'"),
            ({"month": "2025-03", "timezone": "Mars"}, "'Mars'"),
            ({"month": "2025-03", "format": "xml"}, "format 'xml'"),
            ({"month": "2025-03", "known_at": "2999-01-01T00:00:00Z"}, "known_at"),
        ],
    )
    def test_a_mistake_is_named(self, sqlite_api: Api, params: dict[str, str], says: str) -> None:
        answer = sqlite_api.get("/v1/reports/spend", params=params)
        assert answer.status_code == 422
        assert says in answer.json()["detail"]

    def test_the_export_is_the_file_that_the_command_writes(
        self, api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send(api, *self.EVENTS)
        monkeypatch.setenv("COSTMETER_DATABASE_URL", api.engine.url.render_as_string(hide_password=False))
        answer = api.get("/v1/exports/charges", params={"month": "2025-03"})

        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == 'attachment; filename="charges-2025-03.csv"'
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert [row[0] for row in rows] == ["event_id", "a", "b", "d"]
        assert rows[1][3] == "'=HYPERLINK(1)"
        written = run("export", "charges", "--month", "2025-03").done
        assert rows == list(csv.reader(io.StringIO(written)))

    @pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx", "parquet"])
    def test_every_kind_and_format_is_streamed(self, api: Api, form: str) -> None:
        send(api, *self.EVENTS)
        for kind in ("charges", "usage"):
            answer = api.get(f"/v1/exports/{kind}", params={"month": "2025-03", "format": form})
            assert answer.status_code == 200
            assert answer.headers["content-type"] == MEDIA_TYPES[Format(form)]
            assert answer.headers["content-disposition"] == f'attachment; filename="{kind}-2025-03.{form}"'
            with reading(api.engine) as connection:
                content = Content(connection, EXPORTS[kind], Scope.checked(month="2025-03"))
                assert answer.content == b"".join(parts(content, Format(form)))

    def test_a_preset_is_asked_for_by_its_locale(self, api: Api) -> None:
        send(api, *self.EVENTS)
        asked = {"month": "2025-03", "excel": "fr"}
        assert api.get("/v1/exports/usage", params=asked).content.startswith(b"\xef\xbb\xbfday;account;")
        assert api.get("/v1/exports/usage", params=asked | {"excel": "xx"}).status_code == 422
        assert api.get("/v1/exports/usage", params=asked | {"format": "pdf"}).status_code == 422

    def test_an_export_of_nothing_that_can_be_is_refused_before_it_begins(self, api: Api) -> None:
        assert api.get("/v1/exports/charges", params={"month": "2025-03", "account": "nobody"}).status_code == 404
        assert api.get("/v1/exports/charges").status_code == 422
