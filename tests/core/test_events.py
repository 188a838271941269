"""A usage event is read field by field: what is wrong is named, what looks like a key never gets further."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.events import (
    ACCOUNT_LENGTH,
    FIELDS,
    SAME_CALL,
    TAGS_COUNT,
    TEXT_LENGTH,
    UsageEvent,
    check_account,
    known_fields,
    read_event,
)
from costmeter.core.periods import parse_instant
from costmeter.core.secrets import fingerprint
from costmeter.core.usage import Usage

KEY = "sk-0123456789abcdef0123456789abcdef"
TEXT = f"write a text of at most {TEXT_LENGTH} characters"
INSTANT = "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"
TEXT_FIELDS = ("project", "user", "api_key", "model", "requested_model", "error_code", "reason")
ID_FIELDS = ("event_id", "response_id", "operation_id")
COUNTS = {
    "prompt_tokens": 563,
    "prompt_cache_hit_tokens": 512,
    "prompt_cache_miss_tokens": 51,
    "completion_tokens": 116,
    "completion_tokens_details": {"reasoning_tokens": 60},
    "total_tokens": 679,
}


def a_body(**changes: Any) -> dict[str, Any]:
    """The least that an event has, with changes; ... takes a field out."""
    body: dict[str, Any] = {"model": "deepseek-chat", "completed_at": "2025-03-01T16:30:00Z", "usage": COUNTS}
    return {field: value for field, value in (body | changes).items() if value is not ...}


def an_event(**changes: Any) -> UsageEvent:
    return read_event(a_body(**changes))


def refusal_of(body: object) -> str:
    with pytest.raises(InputError) as refusal:
        read_event(body)
    return str(refusal.value)


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


@pytest.mark.parametrize("field", ID_FIELDS)
@pytest.mark.parametrize("value", ["", " ", "None", " None ", "null", None, 0, 17, True, ["id"], {"id": 1}])
def test_what_is_no_id_is_no_id(field: str, value: object) -> None:
    assert getattr(an_event(**{field: value}), field) is None


@pytest.mark.parametrize("field", ID_FIELDS)
def test_an_id_is_kept_as_it_is(field: str) -> None:
    assert getattr(an_event(**{field: "Nonesuch"}), field) == "Nonesuch"


@pytest.mark.parametrize("field", [*TEXT_FIELDS, *ID_FIELDS])
@pytest.mark.parametrize("text", ["x" * (TEXT_LENGTH + 1), "a\x00b", "half \ud800"], ids=["long", "NUL", "surrogate"])
def test_a_text_that_no_database_keeps_is_refused_by_name(field: str, text: str) -> None:
    assert refusal_of(a_body(**{field: text})).endswith(TEXT)
    assert refusal_of(a_body(**{field: text})).startswith(f"{field} ")


@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_a_text_field_of_another_type_is_refused_by_name(field: str) -> None:
    assert refusal_of(a_body(**{field: 7})) == f"{field} 7: {TEXT}"


@pytest.mark.parametrize("field", [*TEXT_FIELDS, *ID_FIELDS, "account"])
def test_a_key_in_any_text_field_is_stored_as_its_fingerprint(field: str) -> None:
    assert getattr(an_event(**{field: KEY}), field) == fingerprint(KEY)
    assert getattr(an_event(**{field: f"my {KEY}"}), field) == f"my {fingerprint(KEY)}"


def test_a_key_in_tags_and_detail_is_stored_as_its_fingerprint() -> None:
    nested = {"request": {"headers": [f"Bearer {KEY}"]}, KEY: 1}
    event = an_event(tags={"key": KEY, KEY: "a"}, detail=nested, usage=None, estimate={KEY: KEY})

    assert event.tags == {"key": fingerprint(KEY), fingerprint(KEY): "a"}
    assert KEY not in json.dumps(event.detail)
    assert event.detail["request"] == {"headers": [fingerprint(KEY)]}
    assert event.detail["estimate"] == {fingerprint(KEY): fingerprint(KEY)}


def test_a_text_made_longer_by_fingerprints_still_fits() -> None:
    many = "sk-01234567 " * 21
    assert len(many) <= TEXT_LENGTH < len(many.replace("sk-01234567", fingerprint("sk-01234567")))

    project = an_event(project=many).project
    assert project is not None
    assert len(project) == TEXT_LENGTH


def test_the_raw_usage_keeps_numbers_and_no_text() -> None:
    usage = COUNTS | {"note": "a prompt", "speed": 1.5, "more": {"cached": 1, "text": "a prompt"}, KEY: 1, "none": None}

    event = an_event(usage=usage)

    assert event.raw_usage == COUNTS | {"more": {"cached": 1}, fingerprint(KEY): 1, "none": None}


def test_unknown_fields_of_an_event_are_dropped() -> None:
    assert an_event(prompt="secret words", messages=["secret words"]) == an_event()


def test_detail_keeps_plain_values_of_bounded_size() -> None:
    detail = {
        "offset": -0.25,
        "chunks": 211,
        "huge": 2**63,
        "endless": 10**5000,
        "not a number": float("nan"),
        "long": "x" * 1000,
        "torn": "a\x00b\udfff",
        "name\x00": 1,
        "deep": {"a": {"b": {"c": {"d": 1}}}},
        "many": list(range(100)),
        "nothing": None,
        "yes": True,
        "pair": (1, 2),
        "other": b"bytes",
    }

    kept = an_event(detail=detail).detail

    assert kept == {
        "offset": -0.25,
        "chunks": 211,
        "huge": "9223372036854775808",
        "endless": "<int>",
        "not a number": "nan",
        "long": "x" * TEXT_LENGTH,
        "torn": "ab",
        "name": 1,
        "deep": {"a": {"b": {"c": "{'d': 1}"}}},
        "many": list(range(TAGS_COUNT)),
        "nothing": None,
        "yes": True,
        "pair": [1, 2],
        "other": "b'bytes'",
    }
    json.dumps(kept, allow_nan=False).encode("utf-8")


texts = st.text(st.characters(exclude_categories=()), max_size=9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
any_bodies = st.dictionaries(st.sampled_from(FIELDS) | texts, json_values, max_size=8)


@given(json_values | any_bodies | any_bodies.map(lambda body: a_body() | body))
def test_whatever_comes_in_is_read_or_refused_and_either_can_be_stored(body: Any) -> None:
    try:
        event = read_event(body)
        stored: list[Any] = [event.tags, event.detail, event.raw_usage, event.model, event.project, event.event_id]
        assert len(event.digest()) == 16
    except InputError as error:
        stored = [str(error), known_fields(body)[0]]
    text = json.dumps(stored, allow_nan=False, ensure_ascii=False)

    text.encode("utf-8")
    assert "\\u0000" not in text.replace("\\\\", "")


def test_what_is_kept_of_an_unusable_event_is_its_known_fields_without_keys() -> None:
    body = {"event_id": "e1", "model": 7, "api_key": KEY, "prompt": "secret words", "messages": [], "tags": {"k": KEY}}

    kept, dropped = known_fields(body)

    assert kept == {"event_id": "e1", "model": 7, "api_key": fingerprint(KEY), "tags": {"k": fingerprint(KEY)}}
    assert dropped == 2


def test_a_text_inside_a_refused_usage_object_is_not_kept() -> None:
    usage = {"prompt_tokens": "5", "note": "words of a prompt", "more": [{"n": 1.5, "t": "x"}]}
    kept, _ = known_fields({"usage": usage})

    assert kept == {"usage": {"prompt_tokens": "5", "note": "<text>", "more": [{"n": 1.5, "t": "<text>"}]}}


@pytest.mark.parametrize("body", [None, 7, "text", ["a"]])
def test_nothing_is_kept_of_what_is_no_object(body: object) -> None:
    assert known_fields(body) == ({}, 0)


@pytest.mark.parametrize("name", ["default", "a", "x" * ACCOUNT_LENGTH, "団体 7", "ops/eu-1", "None"])
def test_an_account_is_named_by_printable_characters(name: str) -> None:
    assert check_account(name) == name


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\nb", "a\x00", "\ud800", "x" * (ACCOUNT_LENGTH + 1), None, 7])
def test_any_other_account_is_refused(name: object) -> None:
    with pytest.raises(InputError, match=r"^account.*: an account is named by 1 to 64 printable characters$"):
        check_account(name)


SAME = a_body(event_id="e1", response_id="r1", account="a", started_at="2025-03-01T16:29:00Z")


@pytest.mark.parametrize(
    "changes",
    [
        {"event_id": "e2"},
        {"started_at": None},
        {"project": "p"},
        {"user": "u", "tags": {"t": "v"}, "api_key": "k", "operation_id": "o", "requested_model": "m"},
        {"detail": {"clock": 1}},
        {"completed_at": "2025-03-02T00:30:00+08:00"},
        {"usage": COUNTS | {"prompt_tokens_details": {"cached_tokens": 1}}},
    ],
)
def test_what_is_not_content_makes_no_other_event(changes: dict[str, Any]) -> None:
    assert read_event(SAME | changes).content() == read_event(SAME).content()
    assert read_event(SAME | changes).digest() == read_event(SAME).digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"account": "b"},
        {"model": "deepseek-reasoner"},
        {"status": "failed", "usage": None},
        {"completed_at": "2025-03-01T16:30:00.000001Z"},
        {"usage": COUNTS | {"prompt_tokens": 562, "prompt_cache_hit_tokens": 511}},
        {"usage": COUNTS | {"prompt_cache_hit_tokens": 511, "prompt_cache_miss_tokens": 52}},
        {"usage": COUNTS | {"completion_tokens": 117}},
        {"usage": COUNTS | {"completion_tokens_details": {"reasoning_tokens": 61}}},
        {"response_id": "r2"},
        {"response_id": None},
    ],
)
def test_each_part_of_the_content_makes_another_event(changes: dict[str, Any]) -> None:
    assert read_event(SAME | changes).content() != read_event(SAME).content()
    assert read_event(SAME | changes).digest() != read_event(SAME).digest()


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"event_id": "e2", "project": "p", "started_at": None}, True),
        ({"model": "deepseek-reasoner"}, False),
        ({"status": "failed", "usage": None}, False),
        ({"status": "unmetered", "usage": None, "model": "deepseek-reasoner"}, False),
        ({"usage": COUNTS | {"completion_tokens": 117}}, False),
    ],
)
def test_two_doors_saw_one_call_where_model_and_counts_agree(changes: dict[str, Any], is_same: bool) -> None:
    assert read_event(SAME).is_same_call(read_event(SAME | changes)) is is_same
    assert read_event(SAME | changes).is_same_call(read_event(SAME)) is is_same


@pytest.mark.parametrize(
    ("apart", "is_same"),
    [(timedelta(0), True), (SAME_CALL, True), (SAME_CALL + timedelta(microseconds=1), False)],
)
def test_two_doors_saw_one_call_where_it_completed_within_an_hour(apart: timedelta, is_same: bool) -> None:
    at = parse_instant(SAME["completed_at"])
    for other in (at + apart, at - apart):
        body = SAME | {"completed_at": other, "started_at": None}
        assert read_event(SAME).is_same_call(read_event(body)) is is_same


def test_two_unmetered_calls_can_be_one() -> None:
    body = a_body(usage=None, reason="closed early")
    assert read_event(body).is_same_call(read_event(body | {"event_id": "e2"}))


def test_a_door_that_was_left_early_says_nothing_against_counts() -> None:
    body = a_body(usage=None, reason="closed early")
    assert read_event(body).is_same_call(read_event(a_body()))
    assert not read_event(a_body()).is_same_call(read_event(body))  # the counts are news


class LongWay(str):
    """A text that no short cut takes."""

    __slots__ = ()


class Body(dict[str, Any]):
    """A body that no short cut takes."""


def the_long_way(body: dict[str, Any]) -> dict[str, Any]:
    """The same body, to be read by the general rules."""
    texts = {name: LongWay(value) if isinstance(value, str) else value for name, value in body.items()}
    return Body(texts) | {"tags": {name: LongWay(value) for name, value in body["tags"].items()}}


TEXTS = st.one_of(
    st.text(max_size=TEXT_LENGTH + 2),
    st.text("sk-cm_Bearer 0a~é\x00\x7f\u2028\ud800", max_size=40),
    st.text("abc 0", max_size=4),
    st.sampled_from([KEY, f"Bearer {KEY}", "x" * TEXT_LENGTH, "x" * (TEXT_LENGTH + 1), "", " ", "None", "null"]),
)


@given(
    st.dictionaries(
        st.sampled_from([*TEXT_FIELDS, *ID_FIELDS, "account", "provider"]),
        st.one_of(TEXTS, st.sampled_from(["deepseek", None, 0, False, 7, [], {}, "x" * 64, "x" * 65])),
        max_size=8,
    ),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
)
def test_a_text_is_kept_or_refused_as_the_general_rule_says(texts: dict[str, Any], tags: dict[str, str]) -> None:
    def read(body: Any) -> object:
        try:
            return read_event(body)
        except InputError as error:
            return str(error)

    body = a_body(**({"account": "a", "provider": "deepseek"} | texts), tags=tags)
    assert read(body) == read(the_long_way(body))
