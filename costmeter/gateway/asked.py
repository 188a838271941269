"""What the request of a call asks for, as far as it decides what the call can cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from costmeter.gateway.targets import is_anthropic
from costmeter.recorder.attribution import text
from costmeter.recorder.reading import parse

# In Anthropic's format `claude-opus*` is served and billed as deepseek-v4-pro, any other `claude*` as deepseek-flash,
# and the answer names that model (api-docs.deepseek.com, guides/anthropic_api). Else it names the one asked for.
_OPUS, _CLAUDE = ("claude-opus", "deepseek-v4-pro"), ("claude", "deepseek-flash")


class Asked(NamedTuple):
    """A body, its fields (None where they cannot be read), and what follows from its route.

    `model` is the name that the answer will have; `output_field` says how long it may be, as DeepSeek documents it.
    """

    body: bytes
    fields: Mapping[str, Any] | None
    model: str | None
    output_field: str


def read_asked(path: bytes, body: bytes) -> Asked:
    """What the body of a call at a path asks for."""
    fields = parse(body)
    named = None if fields is None else fields.get("model")
    field = "max_output_tokens" if path.endswith(b"/responses") else "max_tokens"
    return Asked(body, fields, _answering(path, text(named)) if isinstance(named, str) else None, field)


def _answering(path: bytes, asked: str | None) -> str | None:
    if asked is not None and is_anthropic(path):
        for beginning, model in (_OPUS, _CLAUDE):
            if asked.startswith(beginning):
                return model
    return asked
