"""Whose call it is."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from costmeter.core.errors import InputError
from costmeter.recorder.attribution import (
    NOBODY,
    Attribution,
    attribute,
    attribution_of,
    check_attribution,
    current_attribution,
    key_fingerprint,
)


def test_the_inner_block_counts_and_tags_merge() -> None:
    with attribute(user="u-1", project="search", tags={"team": "a", "tier": "x"}):
        with attribute(user="u-2", account="acme", tags={"team": "b"}):
            inner = current_attribution()
        outer = current_attribution()

    assert inner == Attribution("acme", "search", "u-2", None, {"team": "b", "tier": "x"})
    assert outer == Attribution(None, "search", "u-1", None, {"team": "a", "tier": "x"})
    assert current_attribution() == NOBODY


def test_a_block_ends_where_it_is_left_by_an_error() -> None:
    with pytest.raises(KeyError), attribute(user="u"):
        raise KeyError("x")

    assert current_attribution() == NOBODY


def test_tasks_do_not_see_each_other() -> None:
    async def one(user: str) -> tuple[str | None, str | None]:
        with attribute(user=user):
            await asyncio.sleep(0.01)
            inside = current_attribution().user
        return inside, current_attribution().user

    async def both() -> list[tuple[str | None, str | None]]:
        return list(await asyncio.gather(one("u-1"), one("u-2")))

    assert asyncio.run(both()) == [("u-1", None), ("u-2", None)]


def test_threads_do_not_see_each_other() -> None:
    with attribute(user="u-1"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(current_attribution).result() == NOBODY
        assert pool.submit(contextvars.copy_context().run, current_attribution).result().user == "u-1"


def test_a_generator_that_is_closed_elsewhere_raises_nothing() -> None:
    async def numbers() -> AsyncIterator[int]:
        with attribute(user="u-1"):
            yield 1
            yield 2

    async def leave() -> None:
        generator = numbers()
        await contextvars.Context().run(asyncio.ensure_future, anext(generator))
        await generator.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())


def test_any_value_becomes_a_text_that_can_be_stored() -> None:
    said = attribution_of(
        user=17, project="p" * 999, account="", tags={"n": 1, "": "x", "none": None, "half": "\ud83d"}
    )

    assert said == Attribution(None, "p" * 256, "17", None, {"n": "1", "half": "?"})


def test_a_key_is_never_kept() -> None:
    key = "sk-0123456789abcdef"
    said = attribution_of(api_key=key, user=f"me {key}", tags={"key": key})

    assert key not in str(said)
    assert said.api_key == "fp_" + hashlib.sha256(key.encode()).hexdigest()[:12]


def test_the_key_of_the_request_is_known_by_its_fingerprint() -> None:
    expected = "fp_" + hashlib.sha256(b"secret").hexdigest()[:12]

    assert key_fingerprint(b"Bearer secret") == key_fingerprint(b"bearer  secret ") == expected
    assert key_fingerprint(None, b"secret") == expected
    assert [key_fingerprint(header) for header in (None, b"", b"Bearer ", b"Basic abc")] == [None] * 4


@pytest.mark.parametrize("account", ["", " a", "a" * 65, "a\nb"])
def test_an_account_that_cannot_be_is_refused_when_a_door_is_set_up(account: str) -> None:
    with pytest.raises(InputError, match="account"):
        check_attribution(account=account)


def test_tags_that_are_no_mapping_are_refused_when_a_door_is_set_up() -> None:
    with pytest.raises(InputError, match="tags"):
        check_attribution(tags=["a"])  # type: ignore[arg-type]
