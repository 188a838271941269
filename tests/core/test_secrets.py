"""What looks like a key is replaced by its fingerprint, and nothing else is touched."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.secrets import fingerprint, without_secrets

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
KEY = "sk-0123456789abcdef0123456789abcdef"

vendor_keys = st.text(ALPHABET, min_size=8, max_size=64).map(lambda tail: f"sk-{tail}")
own_keys = st.text(ALPHABET, min_size=16, max_size=64).map(lambda tail: f"cm_4f2a_{tail}")
keys = vendor_keys | own_keys


@given(keys, st.sampled_from(["", " ", "Bearer ", "key=", "DEEPSEEK_API_KEY=", '{"k":"', "a_", "日本"]))
def test_a_key_in_any_text_becomes_its_fingerprint(key: str, before: str) -> None:
    assert without_secrets(f"{before}{key}") == f"{before.removeprefix('Bearer ')}{fingerprint(key)}"


@given(st.lists(keys, min_size=1, max_size=5))
def test_every_key_of_a_text_is_replaced_and_once_is_enough(several: list[str]) -> None:
    clean = without_secrets(" , ".join(several))

    assert clean == " , ".join(map(fingerprint, several))
    assert without_secrets(clean) == clean


def test_a_bearer_token_of_another_form_is_a_key_too() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_"
    assert without_secrets(f"Authorization: Bearer {token}") == f"Authorization: {fingerprint(token)}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "backend-prod",
        "task-12345678901",
        "risk-0123456789",
        "sk-short",
        "cm_ops",
        "Bearer of news",
        "fp_0123456789ab",
    ],
)
def test_what_is_no_key_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


def test_a_fingerprint_is_stable_short_and_differs_by_key() -> None:
    assert fingerprint(KEY) == fingerprint(KEY) == "fp_18164f3170e8"
    assert fingerprint(KEY) != fingerprint(KEY + "0")
    assert re.fullmatch(r"fp_[0-9a-f]{12}", fingerprint(KEY))
