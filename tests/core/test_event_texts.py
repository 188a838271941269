"""Ids and texts of an event: what looks like a key never gets further, and what no database keeps is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.events import read_event
from costmeter.core.secrets import fingerprint
from costmeter.core.texts import TEXT_LENGTH
from tests.core.event_bodies import COUNTS, ID_FIELDS, KEY, TEXT, TEXT_FIELDS, a_body, an_event, refusal_of


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


class LongWay(str):
    """A text that no short cut takes."""

    __slots__ = ()


class Body(dict[str, Any]):
    """A body that no short cut takes."""


def the_long_way(body: dict[str, Any]) -> dict[str, Any]:
    """The same body, to be read by the general rules."""
    texts = {name: LongWay(value) if isinstance(value, str) else value for name, value in body.items()}
    return Body(texts) | {"tags": Body({name: LongWay(value) for name, value in body["tags"].items()})}


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


COUNT_NAMES = st.sampled_from([*COUNTS, "cached_tokens", "reasoning_tokens", "more"])
NUMBERS = st.one_of(st.integers(0, 9), st.sampled_from([None, True, 0.5, 2**63 - 1, 2**63, -(2**63), "text", KEY]))
DETAILS = st.dictionaries(
    COUNT_NAMES, st.one_of(NUMBERS, st.dictionaries(COUNT_NAMES, NUMBERS, max_size=2)), max_size=3
)


@given(st.dictionaries(st.sampled_from(["prompt_tokens_details", "more", "total_tokens"]), st.one_of(NUMBERS, DETAILS)))
def test_a_usage_object_is_kept_or_refused_as_the_general_rule_says(more: dict[str, Any]) -> None:
    def kept(usage: Any) -> object:
        try:
            return an_event(usage=usage).raw_usage
        except InputError as error:
            return str(error)

    usage = COUNTS | more
    assert kept(usage) == kept(Body(usage))
