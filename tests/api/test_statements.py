"""Statements over HTTP, and months that are closed."""

from __future__ import annotations

from tests.api.serving import Api, posted
from tests.make import an_event

CREDIT = {"kind": "topped_up", "amount": "5.00", "effective_at": "2025-03-01T00:00:00Z", "reference": "paid"}
MARCH = "/v1/statements/default/2025-03"


def books(api: Api) -> None:
    assert api.post("/v1/accounts", json={"account": "default"}).status_code == 201
    assert api.post("/v1/accounts/default/credits", json=CREDIT).status_code == 201
    assert api.post("/v1/events", json={"events": [an_event("a")]}).status_code == 200
    posted(api)


def test_a_statement_is_told_kept_and_written_as_csv(api: Api) -> None:
    books(api)
    shape = api.get(MARCH).json()
    assert shape["closing_balance"] == {"granted": "0.00", "topped_up": "3.90", "total": "3.90"}
    table = api.get(MARCH, params={"format": "csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert "closing balance,,,,,0.00,3.90,,,3.90,3.90,USD" in table.text
    assert api.get("/v1/statements/default/2025-13").status_code == 422
    assert api.get("/v1/statements/nobody/2025-03").status_code == 404


def test_a_month_is_closed_once(api: Api) -> None:
    books(api)
    made = api.post(f"{MARCH}/close", json={})
    assert (made.status_code, made.json()["created"]) == (201, True)
    again = api.post(f"{MARCH}/close", json={"override": "again"})
    assert (again.status_code, again.json()) == (200, {**made.json(), "created": False})
    first = api.get(MARCH)
    assert first.json()["closing"]["sha256"] == made.json()["sha256"]
    assert api.get(MARCH, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert [entry["action"] for entry in api.get("/v1/audit").json()["data"]].count("month.close") == 1


def test_what_stands_against_it_is_listed(api: Api) -> None:
    books(api)
    api.post("/v1/events", json={"events": [an_event("x", model="deepseek-9")]})
    posted(api)
    refused = api.post(f"{MARCH}/close", json={})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-closable")
    (blocker,) = refused.json()["blockers"]
    assert blocker.startswith("1 call is unpriced")
    closed = api.post(f"{MARCH}/close", json={"override": "priced next month"})
    assert closed.status_code == 201
    assert closed.json()["override"]["blockers"] == [blocker]


def test_the_page_and_the_pdf_say_the_same(api: Api) -> None:
    books(api)
    page = api.get(MARCH, params={"format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "3.90" in page.text
    assert "<script" not in page.text
    file = api.get(MARCH, params={"format": "pdf"})
    assert file.headers["content-type"] == "application/pdf"
    assert file.content.startswith(b"%PDF-")
