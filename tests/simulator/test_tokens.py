"""Counting tokens, cutting to them, and remembering prefixes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.simulator.answers import make_answer, pieces
from costmeter.simulator.cache import PrefixCache
from costmeter.simulator.tokens import CACHE_UNIT, cache_unit_ends, count_tokens, cut_to_tokens

MIXED = st.text(alphabet=st.sampled_from("ab c你好é\U0001f600"), max_size=2000)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("a" * 10, 3), ("你好", 2), ("你好吗天气", 3)]
)
def test_the_rule_of_thumb(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@given(MIXED, st.integers(0, 700))
def test_a_cut_is_the_longest_beginning_that_fits(text: str, tokens: int) -> None:
    cut = cut_to_tokens(text, tokens)

    assert text.startswith(cut)
    assert count_tokens(cut) <= tokens
    assert cut == text or count_tokens(text[: len(cut) + 1]) > tokens


@given(MIXED)
def test_cache_units_are_whole_and_within_the_text(text: str) -> None:
    ends = cache_unit_ends(text)

    assert ends == sorted(set(ends))
    assert len(ends) * CACHE_UNIT <= count_tokens(text)
    for number, end in enumerate(ends, start=1):
        assert number * CACHE_UNIT - 1 <= count_tokens(text[:end]) <= number * CACHE_UNIT


@given(MIXED, MIXED, MIXED)
def test_a_hit_is_never_longer_than_what_two_prompts_share(shared: str, first: str, second: str) -> None:
    cache = PrefixCache()

    assert cache.read("key", shared + first) == 0
    hit = cache.read("key", shared + second)

    together = next((i for i, (a, b) in enumerate(zip(shared + first, shared + second, strict=False)) if a != b), None)
    longest = min(len(shared + first), len(shared + second)) if together is None else together
    assert hit % CACHE_UNIT == 0
    assert hit <= count_tokens((shared + second)[:longest])
    assert hit >= CACHE_UNIT * (len(cache_unit_ends(shared)) - 1)  # The last unit's end can depend on what follows.


@given(st.text(max_size=200), st.booleans(), st.integers(1, 1500))
def test_an_answer_keeps_within_max_tokens_and_comes_in_pieces(prompt: str, thinks: bool, max_tokens: int) -> None:
    answer = make_answer(prompt, thinks=thinks, max_tokens=max_tokens)

    assert answer == make_answer(prompt, thinks=thinks, max_tokens=max_tokens)
    assert 1 <= answer.tokens <= max_tokens
    assert answer.finish_reason == "stop" or answer.tokens == max_tokens
    assert (answer.reasoning is not None) is thinks
    assert "".join(pieces(answer.content)) == answer.content
