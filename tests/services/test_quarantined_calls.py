"""What cannot be used is kept in quarantine with its reason, and no prompt or key of it anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text

from costmeter.services.record_calls import Broken
from costmeter.store.tables import AccountRow, QuarantineRow
from tests.make import (
    an_event,
    counted,
    outcome,
    post,
    quarantined,
    record,
    set_up_account,
    stored_ids,
    usage,
)

SECRET = "sk-0123456789abcdef0123456789abcdef"


PROMPT = "Dear diary, this must never be stored"


def everything_stored(engine: Engine) -> str:
    """Every value of every column of every table, as one text."""
    with engine.connect() as connection:
        found = []
        for table in inspect(engine).get_table_names():
            if table != "price_edition":
                found += [repr(tuple(row)) for row in connection.execute(text(f"SELECT * FROM {table}"))]
    return "\n".join(found)


class TestQuarantine:
    @pytest.mark.parametrize(
        ("body", "field", "error"),
        [
            (an_event(completed_at="2025-03-03T12:00:00"), "instant", "has no time zone; add Z or an offset"),
            (an_event(completed_at="2025-03-10T00:05:00.000001Z"), "completed_at", "is more than 0:05:00 ahead of"),
            (an_event(started_at="2025-03-03T12:00:00.000001Z"), "completed_at", "is before started_at"),
            (an_event() | {"usage": usage(1, 2, 3) | {"prompt_tokens": 4}}, "prompt_tokens", "is not cache hits 1 + m"),
            (an_event(output=2**63), "completion_tokens", "is more than 1000000000000 tokens in one call"),
            (an_event(output=-1), "completion_tokens", "-1: is no token count"),
            (an_event() | {"usage": usage() | {"completion_tokens": True}}, "completion_tokens", "is no token count"),
            (an_event() | {"usage": usage() | {"completion_tokens": 1.0}}, "completion_tokens", "is no token count"),
            (an_event(status="ok") | {"usage": None}, "usage", "is missing; without it send status unmetered"),
            (an_event(status="failed"), "usage", "must be null where status is failed"),
            (an_event(status="done"), "status", "use one of ok, failed, unmetered"),
            (an_event(model=None), "model", "is missing"),
            (an_event() | {"completed_at": None}, "instant", "write an RFC 3339 instant"),
            (an_event(provider="somebody"), "provider", "use one of deepseek"),
            (an_event(account="a" * 65), "account", "is named by 1 to 64 printable characters"),
            (an_event(project="p" * 257), "project", "write a text of at most 256 characters"),
            (an_event(tags={"a": 1}), "", "write a text of at most 256 characters"),
            (an_event(http_status=99), "http_status", "write a number from 100 to 599"),
            (an_event(detail="x"), "detail", "write an object"),
        ],
        ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "",
    )
    def test_each_kind_of_bad_input_has_its_clear_error_and_is_kept(
        self, engine: Engine, body: dict[str, Any], field: str, error: str
    ) -> None:
        tally = record(engine, body, an_event("good"))
        assert outcome(tally) == (1, 0, 0, 1)
        assert error in tally.refusals[0].error
        assert tally.refusals[0].place == "line 1"
        (item,) = quarantined(engine)
        assert (item["kind"], item["place"], item["event_id"]) == ("refused", "line 1", "call-1")
        assert error in item["error"]
        if field != "instant" and field:
            assert item["field"].rpartition(".")[2] == field
        assert stored_ids(engine) == ["good"]

    def test_a_completion_five_minutes_ahead_is_taken(self, engine: Engine) -> None:
        assert outcome(record(engine, an_event(completed_at="2025-03-10T00:05:00Z"))) == (1, 0, 0, 0)

    @pytest.mark.parametrize("line", [17, 1.5, True, None, PROMPT, [PROMPT], [], {}])
    def test_what_is_no_event_is_refused_without_its_text(self, engine: Engine, line: object) -> None:
        tally = record(engine, line)
        assert outcome(tally) == (0, 0, 0, 1)
        assert "write" in tally.refusals[0].error or "is missing" in tally.refusals[0].error
        assert PROMPT not in everything_stored(engine)

    def test_a_broken_line_is_kept_as_its_hash_size_place_and_error(self, engine: Engine) -> None:
        broken = Broken("ab" * 32, 1234, "Expecting value: line 1 column 1 (char 0)")
        tally = record(engine, an_event(), broken, broken)
        assert outcome(tally) == (1, 0, 0, 2)
        first, second = quarantined(engine)
        assert first["body"] == {"sha256": "ab" * 32, "size": 1234, "error": broken.error}
        assert (first["kind"], first["account"], first["place"]) == ("malformed", "default", "line 2")
        assert first["error"] == f"line 'line 2': is no JSON: {broken.error}; send it again from its source"
        assert (first["billing_month"], first["completed_at"]) == ("2025-03", None), "the month of its receipt"
        assert second["place"] == "line 3"
        assert outcome(record(engine, an_event(), broken, broken)) == (0, 1, 0, 2)
        assert counted(engine, QuarantineRow) == [2], "the file sent twice is in quarantine once"

    def test_it_counts_in_the_month_of_its_readable_completion_in_the_accounts_zone(self, engine: Engine) -> None:
        set_up_account(engine, "shanghai", timezone="Asia/Shanghai")
        for account in ("shanghai", "default"):
            record(engine, an_event(account=account, completed_at="2025-02-28T16:00:00Z", output=-1))
        months = {item["account"]: item["billing_month"] for item in quarantined(engine)}
        assert months == {"shanghai": "2025-03", "default": "2025-02"}

    def test_a_completion_far_ahead_counts_in_the_month_of_receipt(self, engine: Engine) -> None:
        record(engine, an_event(completed_at="9999-12-31T23:59:59Z"))
        assert quarantined(engine)[0]["billing_month"] == "2025-03"

    def test_only_known_fields_are_kept_and_the_others_counted(self, engine: Engine) -> None:
        record(engine, an_event(output=-1, project="search", messages=[{"content": PROMPT}], answer=PROMPT))
        (item,) = quarantined(engine)
        assert sorted(item["body"]) == ["completed_at", "event_id", "model", "project", "usage"]
        assert item["dropped_fields"] == 2

    def test_a_call_of_a_known_account_that_is_refused_makes_no_account(self, engine: Engine) -> None:
        record(engine, an_event(account="new", output=-1))
        assert counted(engine, AccountRow) == [0]


class TestSecretsAndPrompts:
    def test_unknown_fields_and_keys_are_nowhere_in_the_database(self, engine: Engine) -> None:
        nested = {"a": {"b": {"c": {"d": {"e": [SECRET, PROMPT]}}}}}
        key_everywhere: dict[str, Any] = {
            "project": SECRET,
            "user": f"Bearer {SECRET}",
            "api_key": SECRET,
            "tags": {"k": SECRET, SECRET: "x"},
            "requested_model": f"x {SECRET}",
            "operation_id": SECRET,
            "response_id": SECRET,
            "error_code": SECRET,
            "reason": f"401 for {SECRET}",
            "detail": {"header": SECRET, SECRET: 1, "deep": {"x": {"y": {"z": {SECRET: SECRET}}}}},
            "messages": [{"role": "user", "content": PROMPT}],
            "prompt": PROMPT,
            "response": nested,
        }
        counts = usage(1, 2, 3) | {SECRET: 1, "text": SECRET, "deep": {SECRET: {SECRET: 2}}}
        bodies = [
            an_event("ok", **key_everywhere) | {"usage": counts},
            an_event(SECRET, output=2),
            an_event("m", model=SECRET),
            an_event("failed", **key_everywhere, status="failed") | {"usage": None, "response_id": None},
            an_event("refused", **key_everywhere) | {"usage": counts | {"prompt_tokens": 9}},
            an_event("refused-2", **key_everywhere, completed_at=SECRET),
            an_event("refused-3", tags={SECRET: 1}),
            an_event("refused-4", **key_everywhere) | {"status": SECRET},
            an_event("refused-5", account=f"{SECRET}{'x' * 64}"),
            an_event("refused-6", account=SECRET, output=-1),
            an_event("account", account=SECRET),
            an_event("ok", **key_everywhere),
            SECRET,
            [SECRET, PROMPT],
        ]
        tally = record(engine, *bodies)
        assert outcome(tally) == (5, 0, 1, 8)
        for account in sorted(tally.accounts):
            post(engine, account)
        found = everything_stored(engine)
        assert SECRET not in found
        assert SECRET[3:20] not in found
        assert PROMPT not in found
        assert "fp_" in found
        assert not any(SECRET in refusal.error or PROMPT in refusal.error for refusal in tally.refusals)
