"""What the model says: plain words, always the same for the same prompt."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass

from costmeter.simulator.tokens import count_tokens, cut_to_tokens

FEWEST_TOKENS, MOST_TOKENS = 120, 480  # the length of a text that is not cut short

_VOCABULARY = """
a after all answer any balance because before book both call change clear close cold common count day early
end even every few field first for form from garden give good green ground half hand have hold hour house idea
in kind land large last late leave letter light line little long many measure month more morning move name
near never night number often old once only open order other paper part path place plain point price quiet
rain reason record right river road round same season sea short side simple small some sound stone story
summer table than then thing time town tree under until use value very walk wall water way week when while
whole wide wind window winter with word year
"""
WORDS = tuple(_VOCABULARY.split())


@dataclass(frozen=True)
class Answer:
    """The reasoning, where the model thinks, and the answer itself."""

    reasoning: str | None
    content: str
    finish_reason: str

    @property
    def reasoning_tokens(self) -> int | None:
        return None if self.reasoning is None else count_tokens(self.reasoning)

    @property
    def tokens(self) -> int:
        return (self.reasoning_tokens or 0) + count_tokens(self.content)


def make_answer(prompt: str, *, thinks: bool, max_tokens: int) -> Answer:
    """The answer to a prompt; max_tokens limits reasoning and content together, the reasoning coming first."""
    seed = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
    dice = random.Random(int.from_bytes(seed))
    reasoning = _prose(dice) if thinks else ""
    content = _prose(dice)
    if count_tokens(reasoning) + count_tokens(content) <= max_tokens:
        return Answer(reasoning if thinks else None, content, "stop")
    reasoning = cut_to_tokens(reasoning, max_tokens)
    content = cut_to_tokens(content, max_tokens - count_tokens(reasoning))
    return Answer(reasoning if thinks else None, content, "length")


def pieces(text: str) -> list[str]:
    """The text as a stream sends it, a word at a time; joined they are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def _prose(dice: random.Random) -> str:
    """Sentences until the text has the length that was drawn for it."""
    wanted, length = _draw(dice, FEWEST_TOKENS, MOST_TOKENS), 0
    sentences: list[str] = []
    while length < wanted:
        sentence, tokens = _SENTENCES[_draw(dice, 0, len(_SENTENCES) - 1)]
        sentences.append(sentence)
        length += tokens
    return " ".join(sentences)


def _sentence(dice: random.Random) -> str:
    words = [WORDS[_draw(dice, 0, len(WORDS) - 1)] for _ in range(_draw(dice, 6, 14))]
    return f"{' '.join(words).capitalize()}."


def _draw(dice: random.Random, low: int, high: int) -> int:
    """A number from low to high; random() alone promises the same sequence in every version of Python."""
    return low + int(dice.random() * (high - low + 1))


def _sentences(count: int) -> tuple[tuple[str, int], ...]:
    """All that is ever said, with the tokens of each; making sentences anew took a third of the time of a call."""
    sentences = map(_sentence, [random.Random(0)] * count)
    return tuple((sentence, count_tokens(sentence)) for sentence in sentences)


_SENTENCES = _sentences(256)
