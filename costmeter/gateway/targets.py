"""What the path of a request says of it."""

from __future__ import annotations

from functools import lru_cache

from yarl import URL

ANTHROPIC = b"/anthropic/"
# DeepSeek's routes (api-docs.deepseek.com), to be told apart in the gateway's own figures; all others are "other".
_ROUTES = {
    b"/chat/completions": "chat",
    b"/v1/chat/completions": "chat",
    b"/beta/chat/completions": "chat",
    b"/completions": "fim",
    b"/beta/completions": "fim",
    b"/responses": "responses",
    b"/v1/responses": "responses",
    b"/anthropic/v1/messages": "messages",
    b"/anthropic/v1/messages/count_tokens": "count_tokens",
    b"/models": "models",
    b"/v1/models": "models",
    b"/user/balance": "balance",
}


def route_of(path: bytes) -> str:
    """The name of DeepSeek's route at a path; `other` where there is none that we know."""
    return _ROUTES.get(path, "other")


def is_anthropic(path: bytes) -> bool:
    """Whether answers at a path have Anthropic's shapes."""
    return path.startswith(ANTHROPIC)


@lru_cache(maxsize=256)  # callers ask for few paths, again and again
def url_at(base: str, target: bytes) -> URL:
    """A path with its query at the vendor's, spelt as it came; only a path can be asked for, no other host."""
    if not target.startswith(b"/"):
        raise ValueError(f"{target[:80]!r} is no path: it begins without a slash")
    return URL(base + target.decode("latin-1"), encoded=True)
