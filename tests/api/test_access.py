"""Every route without a key, with a wrong one, with too small a role, and for another account or project."""

from __future__ import annotations

from typing import Any

import pytest

from costmeter.core.access import ADMIN, CALL, FINANCE, INGEST, READ
from costmeter.store.keys import key_text
from tests.api.serving import Api
from tests.make import an_event

OPEN = {"/healthz", "/readyz", "/version", "/problems/{name}"}
ANYONE = {("POST", "/v1/quote"), ("GET", "/v1/prices"), ("GET", "/v1/prices/check"), ("GET", "/v1/prices/{model}"),
          ("GET", "/v1/prices/{model}/history")}  # fmt: skip
# Which role each route needs at the least; a route that is not here fails the test below.
NEEDS = {
    ("POST", "/v1/events"): INGEST,
    ("POST", "/v1/traces"): INGEST,
    ("POST", "/v1/reservations"): INGEST,
    ("POST", "/v1/reservations/{reservation_id}/settle"): INGEST,
    ("POST", "/v1/reservations/{reservation_id}/release"): INGEST,
    ("GET", "/v1/reservations"): READ,
    ("GET", "/v1/events"): READ,
    ("GET", "/v1/events/{event_id}"): READ,
    ("GET", "/v1/accounts"): READ,
    ("POST", "/v1/accounts"): FINANCE,
    ("GET", "/v1/accounts/{account}"): READ,
    ("POST", "/v1/accounts/{account}/release"): FINANCE,
    ("GET", "/v1/accounts/{account}/balance"): READ,
    ("GET", "/v1/accounts/{account}/ledger"): READ,
    ("GET", "/v1/accounts/{account}/credits"): READ,
    ("POST", "/v1/accounts/{account}/credits"): FINANCE,
    ("POST", "/v1/accounts/{account}/credits/void"): FINANCE,
    ("GET", "/v1/statements/{account}/{month}"): READ,
    ("POST", "/v1/statements/{account}/{month}/close"): FINANCE,
    ("GET", "/v1/budgets"): READ,
    ("POST", "/v1/budgets"): FINANCE,
    ("GET", "/v1/budgets/{account}/{budget}"): READ,
    ("PUT", "/v1/budgets/{account}/{budget}"): FINANCE,
    ("DELETE", "/v1/budgets/{account}/{budget}"): FINANCE,
    ("GET", "/v1/reports/budget"): READ,
    ("GET", "/v1/alerts"): READ,
    ("GET", "/v1/reports/spend"): READ,
    ("GET", "/v1/reports/lessons"): READ,
    ("GET", "/v1/reports/forecast"): READ,
    ("GET", "/v1/reports/digest"): READ,
    ("GET", "/v1/exports/charges"): READ,
    ("GET", "/v1/exports/focus"): READ,
    ("GET", "/v1/exports/journal"): READ,
    ("GET", "/v1/exports/usage"): READ,
    ("GET", "/v1/quarantine"): READ,
    ("GET", "/v1/quarantine/{item}"): READ,
    ("POST", "/v1/quarantine/replay"): FINANCE,
    ("POST", "/v1/quarantine/discard"): FINANCE,
    ("GET", "/v1/keys"): ADMIN,
    ("POST", "/v1/keys"): ADMIN,
    ("POST", "/v1/keys/{name}/rotate"): ADMIN,
    ("POST", "/v1/keys/{name}/limit"): ADMIN,
    ("POST", "/v1/keys/{name}/revoke"): ADMIN,
    ("GET", "/v1/audit"): FINANCE,
    ("GET", "/metrics"): READ,
}
HOLDS = {
    INGEST: {INGEST},
    CALL: {CALL},  # which opens the gateway, and nothing of the service
    READ: {READ},
    FINANCE: {READ, FINANCE},
    ADMIN: {INGEST, CALL, READ, FINANCE, ADMIN},
}


def routes(api: Api) -> list[tuple[str, str]]:
    """Every method and path that the service says it has."""
    paths = api.get("/openapi.json").json()["paths"]
    return sorted((method.upper(), path) for path, methods in paths.items() for method in methods)


def ask(api: Api, method: str, path: str, headers: dict[str, str]) -> int:
    """The status of a request that is right but for its values."""
    filled = path.format(
        account="default",
        event_id="a",
        budget="all",
        item="00" * 16,
        name="x",
        model="deepseek-chat",
        month="2025-03",
        reservation_id=key_text(bytes(16)),
    )
    body: Any = {} if method in ("POST", "PUT") else None
    return api.request(method, filled, json=body, headers=headers).status_code


def test_every_route_needs_what_is_written_here(sqlite_api: Api) -> None:
    told = {(method, path) for method, path in routes(sqlite_api) if path not in OPEN}
    assert told == NEEDS.keys() | ANYONE


@pytest.mark.parametrize(
    "key", ["", "Bearer", "Bearer x", f"Bearer cm_{'0' * 16}_{'0' * 64}", "Basic cm_x", f"Bearer sk-{'a' * 32}"]
)
def test_without_a_key_every_route_is_closed(sqlite_api: Api, key: str) -> None:
    headers = {"Authorization": key}
    for method, path in routes(sqlite_api):
        if path not in OPEN:
            assert ask(sqlite_api, method, path, headers) == 401, (method, path)
    refused = sqlite_api.get("/v1/accounts", headers=headers)
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["type"] == "/problems/key-missing"


@pytest.mark.parametrize("role", HOLDS)
def test_each_role_opens_its_routes_and_no_other(sqlite_api: Api, role: str) -> None:
    headers = sqlite_api.key(role)
    for (method, path), needed in NEEDS.items():
        status = ask(sqlite_api, method, path, headers)
        assert (status == 403) == (needed not in HOLDS[role]), (method, path, status)
        assert status != 401
    for method, path in ANYONE:
        assert ask(sqlite_api, method, path, headers) not in (401, 403)


OF_AN_ACCOUNT = [
    ("GET", "/v1/accounts/{}", None),
    ("GET", "/v1/accounts/{}/balance", None),
    ("GET", "/v1/accounts/{}/ledger", None),
    ("GET", "/v1/accounts/{}/credits", None),
    ("POST", "/v1/accounts/{}/credits", {"kind": "granted", "amount": "1.00", "reference": "r"}),
    ("POST", "/v1/accounts/{}/credits/void", {"reference": "r", "reason": "x"}),
    ("POST", "/v1/accounts/{}/release", {"reason": "x"}),
    ("GET", "/v1/events?account={}", None),
    ("GET", "/v1/events/a?account={}", None),
    ("GET", "/v1/reports/spend?month=2025-03&account={}", None),
    ("GET", "/v1/reports/lessons?month=2025-03&account={}", None),
    ("GET", "/v1/exports/charges?month=2025-03&account={}", None),
    ("GET", "/v1/exports/usage?month=2025-03&account={}", None),
    ("GET", "/v1/quarantine?account={}", None),
    ("GET", "/v1/audit?account={}", None),
    ("GET", "/v1/reservations?account={}", None),
]


@pytest.fixture
def two_accounts(sqlite_api: Api) -> Api:
    """Two accounts, each with a call, a credit, and something in quarantine."""
    for name in ("mine", "theirs"):
        events = [an_event("a", account=name, project="p"), an_event("b", account=name, completed_at="x")]
        sqlite_api.post("/v1/events", json={"events": events})
        credit = {"kind": "granted", "amount": "1.00", "reference": "r"}
        assert sqlite_api.post(f"/v1/accounts/{name}/credits", json=credit).status_code == 201
    return sqlite_api


@pytest.mark.parametrize(("method", "path", "body"), OF_AN_ACCOUNT)
def test_a_key_of_one_account_opens_no_other(two_accounts: Api, method: str, path: str, body: object) -> None:
    headers = two_accounts.key("finance", accounts=["mine"])
    refused = two_accounts.request(method, path.format("theirs"), json=body, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    assert two_accounts.request(method, path.format("mine"), json=body, headers=headers).status_code != 403


@pytest.mark.parametrize(("method", "path", "body"), [one for one in OF_AN_ACCOUNT if one[1].startswith("/v1/acc")])
def test_a_key_of_one_project_sees_no_whole_account(two_accounts: Api, method: str, path: str, body: object) -> None:
    headers = two_accounts.key("finance", projects=["p"])
    assert two_accounts.request(method, path.format("mine"), json=body, headers=headers).status_code == 403


def test_lists_and_totals_have_only_what_the_key_may_see(two_accounts: Api) -> None:
    headers = two_accounts.key("finance", accounts=["mine"])

    def get(path: str) -> Any:
        return two_accounts.get(path, headers=headers).json()

    assert [one["account"] for one in get("/v1/accounts")["data"]] == ["mine"]
    assert [one["account"] for one in get("/v1/quarantine")["data"]] == ["mine"]
    assert get("/v1/reports/spend?month=2025-03&by=account")["totals"]["calls"] <= 1
    assert {one["account"] for one in get("/v1/audit")["data"]} == {"mine"}


def test_an_item_of_another_account_is_neither_shown_nor_decided(two_accounts: Api) -> None:
    headers = two_accounts.key("finance", accounts=["mine"])
    (item,) = two_accounts.get("/v1/quarantine", params={"account": "theirs"}).json()["data"]
    name = item["item"]
    assert two_accounts.get(f"/v1/quarantine/{name}", headers=headers).status_code == 403
    for path, more in (("replay", {}), ("discard", {"reason": "x"})):
        answer = two_accounts.post(f"/v1/quarantine/{path}", json={"items": [name], **more}, headers=headers)
        assert answer.status_code == 403
    assert two_accounts.get(f"/v1/quarantine/{name}").json()["state"] == "open"


def test_a_report_of_a_project_key_is_of_that_project(two_accounts: Api) -> None:
    two_accounts.post("/v1/events", json=an_event("c", account="mine", project="other"))
    headers = two_accounts.key("read", projects=["p"])
    totals = two_accounts.get("/v1/reports/spend?month=2025-03", headers=headers).json()["totals"]
    assert totals["calls"] + totals["unposted"] == 2
    for where in ("project=other", "project="):
        path = f"/v1/reports/spend?month=2025-03&where={where}"
        assert two_accounts.get(path, headers=headers).status_code == 403
    twice = "/v1/reports/spend?month=2025-03&where=project=p&where=project=other"
    assert two_accounts.get(twice, headers=headers).status_code == 422


@pytest.mark.parametrize("limit", [{"accounts": ["mine"]}, {"projects": ["p"]}])
def test_a_limited_admin_makes_no_keys_and_reads_no_metrics(sqlite_api: Api, limit: dict[str, list[str]]) -> None:
    headers = sqlite_api.key("admin", **limit)
    asked = {"name": "x", "roles": ["admin"]}
    assert sqlite_api.post("/v1/keys", json=asked, headers=headers).status_code == 403
    assert sqlite_api.get("/v1/keys", headers=headers).status_code == 403
    assert sqlite_api.get("/metrics", headers=headers).status_code == 403


def test_the_app_has_no_page_that_loads_scripts_from_elsewhere(sqlite_api: Api) -> None:
    for path in ("/docs", "/redoc"):
        assert sqlite_api.get(path).status_code == 404
