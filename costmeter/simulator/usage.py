"""What one call used, in the shape of DeepSeek's usage object."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Token counts; the reasoning is part of the completion, and none at all is something else than 0."""

    cache_hit: int
    cache_miss: int
    completion: int
    reasoning: int | None = None

    def as_json(self) -> dict[str, object]:
        """DeepSeek's own names and order; without reasoning there is no completion_tokens_details."""
        prompt = self.cache_hit + self.cache_miss
        details = {} if self.reasoning is None else {"completion_tokens_details": {"reasoning_tokens": self.reasoning}}
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.completion,
            "total_tokens": prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cache_hit},
            **details,
            "prompt_cache_hit_tokens": self.cache_hit,
            "prompt_cache_miss_tokens": self.cache_miss,
        }
