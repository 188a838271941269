"""Keys are time-ordered and unique; an id always has the same 16 bytes."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.store.keys import identity_key, key_text, new_key, new_keys


def test_keys_ascend_also_within_a_millisecond() -> None:
    keys = [new_key() for _ in range(20_000)]
    assert keys == sorted(set(keys))


def test_keys_that_are_made_together_ascend_and_come_after_those_before() -> None:
    keys = [new_key(), *new_keys(20_000), new_key(), *new_keys(2)]
    assert keys == sorted(set(keys))
    assert {uuid.UUID(bytes=key).version for key in keys} == {7}
    assert new_keys(0) == []


def test_threads_make_no_key_twice_and_each_sees_its_own_ascend() -> None:
    def make(_: int) -> list[bytes]:
        return [key for _ in range(1_000) for key in (*new_keys(4), new_key())]

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(4)))
    assert all(keys == sorted(keys) for keys in made)
    assert len({key for keys in made for key in keys}) == 20_000


def test_a_key_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    parsed = uuid.UUID(bytes=new_key())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= (parsed.int >> 80) <= time.time_ns() // 1_000_000 + 1_000


def test_the_text_of_a_key_is_a_uuid() -> None:
    assert key_text(bytes(range(16))) == "00010203-0405-0607-0809-0a0b0c0d0e0f"


@given(st.uuids())
def test_a_uuid_stands_for_itself(value: uuid.UUID) -> None:
    assert identity_key("event", str(value)) == value.bytes


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_ids_have_the_same_key_only_where_they_are_the_same(first: str, second: str) -> None:
    assert (identity_key("event", first) == identity_key("event", second)) == (first == second)


@pytest.mark.parametrize(
    "spelling",
    [
        "0199AAAA-BBBB-7CCC-8DDD-EEEEEEEEEEEE",
        "0199aaaabbbb7ccc8dddeeeeeeeeeeee",
        "{0199aaaabbbb7ccc8dddeeeeeeeeeeee}--",
        "0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeee  ",
        "0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeee--",
        "0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeeg",
        "urn:uuid:0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee",
    ],
)
def test_another_spelling_of_a_uuid_is_another_id(spelling: str) -> None:
    assert identity_key("event", spelling) != identity_key("event", "0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee")


def test_kinds_of_ids_do_not_meet() -> None:
    assert len({identity_key(kind, "x") for kind in ("event", "response", "measured")}) == 3
    written = "0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"
    assert identity_key("event", written) != identity_key("response", written)
