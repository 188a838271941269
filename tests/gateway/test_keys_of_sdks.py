"""DeepSeek's callers as they are, the SDKs of OpenAI and Anthropic, with keys of costmeter's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import anthropic
import openai
import pytest

from costmeter import wiring
from costmeter.core.rate_limits import Limits
from costmeter.gateway.callers import CostmeterKeys
from costmeter.gateway.key_holders import KeyHolders
from costmeter.gateway.known_keys import KnownKeys
from costmeter.gateway.vendor_keys import VendorKeys
from costmeter.services.create_key import NewKey, create_key
from costmeter.simulator import Simulator
from tests.api.serving import wiring_now
from tests.gateway.keyed import VENDOR
from tests.gateway.serving import Served
from tests.recorder.conftest import Records

WRONG = f"cm_{'0' * 16}_{'0' * 64}"


@pytest.fixture
def base_url(records: Records, sqlite_url: str) -> Iterator[str]:
    """A gateway before the simulator, which takes no key but what looks like DeepSeek's."""
    keys = KnownKeys(KeyHolders(lambda: wiring.open_database(sqlite_url)))
    with (
        Simulator(topped_up="10") as simulator,
        Served(simulator.base_url, records.spool, callers=CostmeterKeys(keys, VendorKeys({}, VENDOR))) as gateway,
    ):
        yield gateway.base_url


def made(sqlite_url: str, *roles: str, limits: Limits | None = None) -> str:
    engine = wiring.open_database(sqlite_url)
    text = create_key(engine, NewKey("backend", roles, limits=limits or Limits()), by="root", now=wiring_now())[1]
    engine.dispose()
    return text


def test_openais(base_url: str, sqlite_url: str, records: Records) -> None:
    key = made(sqlite_url, "call", limits=Limits(2))

    def ask(api_key: str) -> None:
        with openai.OpenAI(api_key=api_key, base_url=base_url, max_retries=0) as client:
            client.chat.completions.create(model="deepseek-flash", messages=[{"role": "user", "content": "Hello"}])

    for _ in range(2):
        ask(key)
    with pytest.raises(openai.RateLimitError) as refused:
        ask(key)
    assert refused.value.code == "costmeter_rate_limited"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
    with pytest.raises(openai.AuthenticationError, match="does not know this key"):
        ask(WRONG)
    assert [record["api_key"] for record in records.all()] == ["backend"] * 2


@pytest.mark.parametrize(
    "client_with",
    [anthropic.Anthropic, lambda api_key, **more: anthropic.Anthropic(auth_token=api_key, **more)],
    ids=["x-api-key", "bearer"],
)
def test_anthropics(
    base_url: str, sqlite_url: str, records: Records, client_with: Callable[..., anthropic.Anthropic]
) -> None:
    key = made(sqlite_url, "call", limits=Limits(1))

    def ask(text: str) -> None:
        with client_with(api_key=text, base_url=f"{base_url}/anthropic", max_retries=0) as client:
            client.messages.create(
                model="deepseek-flash", max_tokens=9, messages=[{"role": "user", "content": "Hello"}]
            )

    ask(key)
    with pytest.raises(anthropic.RateLimitError, match="this key may make 1 a minute"):
        ask(key)
    with pytest.raises(anthropic.AuthenticationError, match="does not know this key"):
        ask(WRONG)
    assert [record["api_key"] for record in records.all()] == ["backend"]


def test_who_may_not_call_is_told(base_url: str, sqlite_url: str) -> None:
    with (
        openai.OpenAI(api_key=made(sqlite_url, "ingest"), base_url=base_url, max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError, match="calling DeepSeek needs call"),
    ):
        client.models.list()
