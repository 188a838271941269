"""A usage event is read field by field: what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from costmeter.core.errors import InputError
from costmeter.core.events import ACCOUNT_LENGTH, TAGS_COUNT, UsageEvent, check_account, read_event
from costmeter.core.periods import parse_instant
from costmeter.core.texts import TEXT_LENGTH
from costmeter.core.usage import Usage
from tests.core.event_bodies import COUNTS, INSTANT, TEXT, a_body, an_event, refusal_of


def test_the_contracts_own_example_is_read_field_by_field() -> None:
    body = {
        "event_id": "0199-a", "account": "default", "project": "search", "user": "u-17", "api_key": "backend-prod",
        "tags": {"team": "a"}, "provider": "deepseek", "model": "deepseek-reasoner",
        "requested_model": "deepseek-reasoner", "response_id": "c56bbff7", "operation_id": "0199-o", "status": "ok",
        "started_at": "2025-03-01T16:29:41.120Z", "completed_at": "2025-03-01T16:30:00Z", "usage": COUNTS,
    }  # fmt: skip

    assert read_event(body) == UsageEvent(
        event_id="0199-a",
        account="default",
        project="search",
        user="u-17",
        api_key="backend-prod",
        tags={"team": "a"},
        provider="deepseek",
        model="deepseek-reasoner",
        requested_model="deepseek-reasoner",
        response_id="c56bbff7",
        operation_id="0199-o",
        status="ok",
        started_at=parse_instant("2025-03-01T16:29:41.120Z"),
        completed_at=parse_instant("2025-03-01T16:30:00Z"),
        usage=Usage(512, 51, 116, 60, ()),
        raw_usage=COUNTS,
        http_status=None,
        error_code=None,
        reason=None,
        detail={},
    )


def test_the_least_event_has_defaults_for_the_rest() -> None:
    event = an_event()

    assert (event.account, event.provider, event.status) == ("default", "deepseek", "ok")
    assert (event.event_id, event.project, event.started_at, event.response_id) == (None, None, None, None)
    assert (event.tags, event.detail) == ({}, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ...}, "model: is missing; name the model of the response"),
        ({"model": ""}, "model '': is missing; name the model of the response"),
        ({"completed_at": ...}, f"completed_at: {INSTANT}"),
        ({"completed_at": 1740846600}, f"completed_at 1740846600: {INSTANT}"),
        (
            {"completed_at": "2025-03-01T16:30:00"},
            "completed_at '2025-03-01T16:30:00': has no time zone; add Z or an offset such as +08:00",
        ),
        ({"started_at": "soon"}, f"started_at 'soon': {INSTANT}"),
        (
            {"started_at": "2025-03-01T16:30:00.000001Z"},
            "completed_at '2025-03-01T16:30:00Z': is before started_at 2025-03-01T16:30:00.000001Z",
        ),
        ({"status": "ok", "usage": ...}, "usage: is missing; without it send status unmetered and a reason"),
        ({"status": "ok", "usage": None}, "usage: is missing; without it send status unmetered and a reason"),
        ({"status": "done"}, "status 'done': use one of ok, failed, unmetered"),
        ({"status": ["ok"]}, "status ['ok']: use one of ok, failed, unmetered"),
        ({"usage": {}}, "usage []: has neither prompt_tokens nor input_tokens"),
        ({"usage": "563"}, "usage '563': pass the provider's usage object"),
        ({"provider": "openai"}, "provider 'openai': use one of deepseek"),
        ({"account": ""}, f"account '': an account is named by 1 to {ACCOUNT_LENGTH} printable characters"),
        ({"account": 7}, f"account 7: an account is named by 1 to {ACCOUNT_LENGTH} printable characters"),
        ({"tags": ["a"]}, f"tags ['a']: write an object of at most {TAGS_COUNT} texts"),
        ({"tags": {"": "a"}}, f"tags '': a tag is named by 1 to {TEXT_LENGTH} characters"),
        ({"tags": {"a\x00": "b"}}, rf"tags 'a\x00': a tag is named by 1 to {TEXT_LENGTH} characters"),
        ({"tags": {"team": 7}}, f"team 7: {TEXT}"),
        ({"http_status": 99}, "http_status 99: write a number from 100 to 599"),
        ({"http_status": "402"}, "http_status '402': write a number from 100 to 599"),
        ({"http_status": True}, "http_status True: write a number from 100 to 599"),
        ({"detail": "fast"}, "detail 'fast': write an object"),
    ],
)
def test_what_cannot_be_used_is_refused_by_field_value_and_remedy(changes: dict[str, Any], message: str) -> None:
    assert refusal_of(a_body(**changes)) == message


@pytest.mark.parametrize("body", [None, [], "{}", 7])
def test_what_is_no_object_is_refused(body: object) -> None:
    assert refusal_of(body).endswith("write one JSON object per usage event")


def test_too_many_tags_are_refused() -> None:
    tags = {f"tag{number}": "x" for number in range(TAGS_COUNT + 1)}
    assert refusal_of(a_body(tags=tags)).endswith(f"write an object of at most {TAGS_COUNT} texts")


@pytest.mark.parametrize("status", ["failed", "unmetered"])
def test_a_call_without_usage_is_never_one_of_zeros(status: str) -> None:
    event = an_event(status=status, usage=None, reason="stream closed", http_status=502, error_code="upstream")

    assert (event.status, event.usage, event.raw_usage) == (status, None, None)
    assert (event.reason, event.http_status, event.error_code) == ("stream closed", 502, "upstream")


@pytest.mark.parametrize("status", ["failed", "unmetered"])
def test_a_call_that_failed_or_was_not_metered_carries_no_usage(status: str) -> None:
    message = refusal_of(a_body(status=status))
    assert message.endswith(f"must be null where status is {status}; send what is known as estimate")


@pytest.mark.parametrize(("usage", "status"), [(None, "unmetered"), (..., "unmetered"), (COUNTS, "ok")])
def test_without_a_status_the_usage_says_whether_the_call_was_metered(usage: Any, status: str) -> None:
    assert an_event(usage=usage).status == status


def test_a_usage_of_zeros_is_measured() -> None:
    zeros = dict.fromkeys(("prompt_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens"), 0)
    event = an_event(usage=zeros | {"completion_tokens": 0})
    assert (event.status, event.usage) == ("ok", Usage(0, 0, 0))


@pytest.mark.parametrize("name", ["default", "a", "x" * ACCOUNT_LENGTH, "団体 7", "ops/eu-1", "None"])
def test_an_account_is_named_by_printable_characters(name: str) -> None:
    assert check_account(name) == name


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\nb", "a\x00", "\ud800", "x" * (ACCOUNT_LENGTH + 1), None, 7])
def test_any_other_account_is_refused(name: object) -> None:
    with pytest.raises(InputError, match=r"^account.*: an account is named by 1 to 64 printable characters$"):
        check_account(name)
