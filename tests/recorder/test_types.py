"""What a type checker makes of the doors: `make check` reads these lines, and running them shows they are true."""

from __future__ import annotations

import asyncio
from typing import Any, assert_type

import httpx
import httpx2
import pytest
from anthropic import Anthropic, AnthropicFoundry, AsyncAnthropic
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

import costmeter
from costmeter.core.errors import InputError

KEY: Any = {"api_key": "sk-test", "base_url": "http://127.0.0.1:9"}
AZURE: Any = {**KEY, "api_version": "1"}


class Own(OpenAI):
    """A client of the user's own class."""


def test_a_wrapped_client_is_of_the_class_that_came_in() -> None:
    assert type(assert_type(costmeter.wrap(OpenAI(**KEY)), OpenAI)) is OpenAI
    assert type(assert_type(costmeter.wrap(AsyncOpenAI(**KEY)), AsyncOpenAI)) is AsyncOpenAI
    assert type(assert_type(costmeter.wrap(AzureOpenAI(**AZURE)), AzureOpenAI)) is AzureOpenAI
    assert type(assert_type(costmeter.wrap(AsyncAzureOpenAI(**AZURE)), AsyncAzureOpenAI)) is AsyncAzureOpenAI
    assert type(assert_type(costmeter.wrap(Own(**KEY)), Own)) is Own
    assert type(assert_type(costmeter.wrap(Anthropic(**KEY)), Anthropic)) is Anthropic
    assert type(assert_type(costmeter.wrap(AsyncAnthropic(**KEY)), AsyncAnthropic)) is AsyncAnthropic
    assert type(assert_type(costmeter.wrap(AnthropicFoundry(**KEY)), AnthropicFoundry)) is AnthropicFoundry


def test_a_transport_is_taken_by_clients_of_both_libraries() -> None:
    httpx.Client(transport=costmeter.RecordingTransport(httpx.HTTPTransport())).close()
    httpx2.Client(transport=costmeter.RecordingTransport(httpx2.HTTPTransport())).close()
    httpx.Client(mounts={"https://": costmeter.RecordingTransport(project="search")}).close()
    httpx2.Client(mounts={"https://": costmeter.RecordingTransport(project="search")}).close()


def test_an_async_transport_is_taken_by_clients_of_both_libraries() -> None:
    async def open_and_close() -> None:
        async with httpx.AsyncClient(transport=costmeter.AsyncRecordingTransport(httpx.AsyncHTTPTransport())):
            pass
        async with httpx2.AsyncClient(transport=costmeter.AsyncRecordingTransport(httpx2.AsyncHTTPTransport())):
            pass

    asyncio.run(open_and_close())


def test_what_cannot_be_recorded_is_seen_before_it_runs() -> None:
    """An ignored error that is none would be an error itself."""
    with pytest.raises(InputError), httpx2.Client() as client:
        costmeter.wrap(client)  # type: ignore[type-var]
    with pytest.raises(InputError):
        costmeter.wrap(OpenAI)  # type: ignore[type-var]
    costmeter.RecordingTransport(httpx2.AsyncHTTPTransport())  # type: ignore[arg-type]
