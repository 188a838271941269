"""The description of the service: stable names, examples that work, and answers that are what it says."""

from __future__ import annotations

from typing import Any

from tests.api.fuzzing import fuzz
from tests.api.serving import Api, posted, served

EXAMPLES = 10  # of each operation, besides its examples and the edges of its values
OPERATIONS = {
    "record_events", "export_traces", "list_events", "get_event", "quote", "add_account", "list_accounts",
    "get_account", "report_lessons", "add_budget", "list_budgets", "get_budget", "remove_budget", "list_alerts",
    "report_forecast", "report_digest", "report_budget", "change_budget",
    "release_account", "get_balance", "list_entries", "add_credit", "list_credits", "void_credit", "report_spend",
    "export_charges", "export_usage", "export_focus", "export_journal", "get_statement", "close_month",
    "list_prices", "check_prices", "get_price", "get_price_history", "list_items", "get_item",
    "replay_items", "discard_items", "create_key", "list_keys", "rotate_key", "limit_key", "revoke_key", "list_audit",
    "is_alive",
    "reserve", "settle_reservation", "release_reservation", "list_reservations",
    "is_ready", "get_version", "get_metrics", "get_problem",
}  # fmt: skip


def test_operations_keep_their_ids(sqlite_api: Api) -> None:
    """Generated clients are named after them: add to them, never change one."""
    paths = sqlite_api.get("/openapi.json").json()["paths"]
    told = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert sorted(told) == sorted(OPERATIONS)
    for methods in paths.values():
        for operation in methods.values():
            assert operation["summary"]


def test_every_example_works_as_it_stands(sqlite_api: Api) -> None:
    document = sqlite_api.get("/openapi.json").json()
    worked = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for example in _examples(document, operation):
                if operation["operationId"] == "close_month":
                    posted(sqlite_api)  # a month has books once its calls are posted, up to a second later
                filled = path.format(account="default", name="backend", month="2025-03")
                answer = sqlite_api.request(method, filled, json=example)
                worked[operation["operationId"]] = answer.status_code
    assert worked == {
        "record_events": 200,
        "export_traces": 200,
        "quote": 200,
        "add_account": 201,
        "release_account": 422,  # nothing is frozen
        "add_credit": 201,
        "add_budget": 201,
        "void_credit": 200,
        "close_month": 201,
        "reserve": 200,  # no budget stops it
        "replay_items": 200,
        "discard_items": 404,  # nothing is in quarantine
        "create_key": 201,
    }


def _examples(document: dict[str, Any], operation: dict[str, Any]) -> list[Any]:
    """The examples of an operation's JSON body, its own and those of its schemas."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    found = [one["value"] for one in content.get("examples", {}).values()]
    schema = content.get("schema", {})
    for one in [schema, *schema.get("anyOf", [])]:
        name = one.get("$ref", "").rpartition("/")[2]
        named = document["components"]["schemas"].get(name, {})
        found += [named["example"]] if "example" in named else []
    return found


def test_no_request_that_can_be_made_of_the_description_breaks_the_service(database_url: str) -> None:
    """No 500, no status, content type, header or body that is not described; `make fuzz` does the same for longer."""
    with served(database_url) as api:
        code, said = fuzz(api, examples=EXAMPLES)
    assert code == 0, said
    assert f"Tested: {len(OPERATIONS)}" in said
