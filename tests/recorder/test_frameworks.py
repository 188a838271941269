"""Frameworks that make their calls through the OpenAI SDK, recorded over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from costmeter.recorder.attribution import attribute
from costmeter.recorder.client import wrap
from costmeter.recorder.transport import AsyncRecordingTransport, RecordingTransport

from .bodies import USAGE, chat, chat_stream, json_body
from .conftest import Records
from .replay import ReplayServer, json_reply, stream_reply

CHAT = json_reply(json_body(chat()))
STREAM = stream_reply(chat_stream())
ANSWER = "Hi \U0001f600"
OWN = {"x-costmeter-project": "search", "x-costmeter-tags": "team=a"}


@pytest.fixture
def langchain(server: ReplayServer, records: Records) -> Iterator[ChatOpenAI]:
    """A chat model of LangChain, which takes HTTP clients and headers."""
    transport = AsyncRecordingTransport(_spool=records.spool)
    with httpx2.Client(transport=RecordingTransport(_spool=records.spool)) as client:
        yield ChatOpenAI(
            model="deepseek-chat",
            base_url=server.base_url,
            api_key="sk-test",  # type: ignore[arg-type]  # it makes a SecretStr of it
            default_headers=OWN,
            http_client=client,
            http_async_client=httpx2.AsyncClient(transport=transport),
        )


def seen(records: Records) -> list[tuple[Any, ...]]:
    fields = ("status", "usage", "project", "user", "tags")
    return [tuple(record[field] for field in fields) for record in records.all()]


def test_langchain_is_recorded(server: ReplayServer, langchain: ChatOpenAI, records: Records) -> None:
    server.answer_with(CHAT)
    assert langchain.invoke("Hello").content == ANSWER
    server.answer_with(STREAM)
    with attribute(user="u-1"):
        assert "".join(str(part.content) for part in langchain.stream("Hello")).startswith("Hi")

    ok, team = ("ok", USAGE, "search"), {"team": "a"}
    assert seen(records) == [(*ok, None, team), (*ok, "u-1", team)]
    assert "costmeter" not in str([headers for _, headers, _ in server.requests])


def test_async_langchain_is_recorded(server: ReplayServer, langchain: ChatOpenAI, records: Records) -> None:
    client: Any = langchain.http_async_client

    async def ask() -> None:
        async with client:
            server.answer_with(CHAT)
            with attribute(user="u-1"):
                assert (await langchain.ainvoke("Hello")).content == ANSWER
            server.answer_with(STREAM)
            assert len([part async for part in langchain.astream("Hello")]) > 3

    asyncio.run(ask())

    ok, team = ("ok", USAGE, "search"), {"team": "a"}
    assert seen(records) == [(*ok, "u-1", team), (*ok, None, team)]


def test_pydantic_ai_is_recorded(server: ReplayServer, records: Records) -> None:
    async def ask() -> None:
        async with AsyncOpenAI(api_key="sk-test", base_url=server.base_url) as original:
            client = wrap(original, project="search", _spool=records.spool)
            agent = Agent(OpenAIChatModel("deepseek-chat", provider=OpenAIProvider(openai_client=client)))
            server.answer_with(CHAT)
            with attribute(user="u-1"):
                assert (await agent.run("Hello")).output == ANSWER
            server.answer_with(STREAM)
            async with agent.run_stream("Hello") as answer:
                assert (await answer.get_output()).startswith("Hi")

    asyncio.run(ask())

    assert seen(records) == [("ok", USAGE, "search", "u-1", {}), ("ok", USAGE, "search", None, {})]
