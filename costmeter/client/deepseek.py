"""DeepSeek's own API, as far as costmeter asks it: the balance of an account."""

from __future__ import annotations

from typing import Any

from costmeter.core.errors import InputError, ServiceError, SetupError

TIMEOUT = 30.0  # seconds
_HERE = ("localhost", "127.0.0.1", "::1")


def ask_balance(url: str, api_key: str) -> Any:
    """The body of GET /user/balance (https://api-docs.deepseek.com/api/get-user-balance).

    Raises ServiceError where DeepSeek refuses the key or cannot be reached, InputError for a URL that would show the
    key to others. The key is sent and nothing else is done with it.
    """
    try:
        import httpx2
    except ModuleNotFoundError as error:
        raise SetupError(f"{error}; install it with: pip install 'costmeter[client]'") from error
    try:
        asked = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise InputError("url", url, f"is no URL: {error}") from None
    if asked.scheme != "https" and (asked.scheme != "http" or asked.host not in _HERE):
        raise InputError("url", url, "would send the key in the clear; use https")
    try:
        headers = {"Authorization": f"Bearer {api_key}"}
        answer = httpx2.get(f"{url.rstrip('/')}/user/balance", headers=headers, timeout=TIMEOUT)
    except httpx2.TransportError as error:
        raise ServiceError(f"{url} cannot be reached: {error}") from error
    if answer.status_code != 200:
        remedy = "it refuses the key" if answer.status_code == 401 else "ask again later"
        raise ServiceError(f"{url} answers {answer.status_code}: {remedy}", status=answer.status_code)
    try:
        return answer.json()
    except ValueError:
        raise ServiceError(f"{url} answers something else than JSON; is it DeepSeek's API?", status=200) from None
