"""The log of our own processes: one JSON line an event, through one door, without secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from costmeter import logs

KEY = "sk-0123456789abcdef0123"
OURS = "cm_live_0123456789abcdefghij"


@pytest.fixture(autouse=True)
def _left_as_it_was() -> Iterator[None]:
    """The loggers of this process are the tests' own again afterwards."""
    root = logging.getLogger()
    kept = (root.handlers, root.level)
    levels = {name: logging.getLogger(name).level for name in logs._NOISY}
    yield
    root.handlers, root.level = kept
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    logs.clear()


@pytest.fixture
def log() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("info", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_both_kinds_of_loggers_write_the_same_lines(log: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("%d connections", 3, extra={"job": "post"})
    structlog.get_logger("costmeter.jobs").warning("3 connections", job="post")
    first, second = lines(log)
    assert (first.pop("logger"), second.pop("logger")) == ("uvicorn.error", "costmeter.jobs")
    assert first.pop("timestamp").endswith("Z")
    assert second.pop("timestamp").endswith("Z")
    assert first == second == {"event": "3 connections", "level": "warning", "job": "post"}


def test_what_is_below_the_level_or_another_librarys_news_is_not_written(log: io.StringIO) -> None:
    logging.getLogger("costmeter").debug("detail")
    logging.getLogger("apscheduler.executors.default").info("Running job")
    logging.getLogger("costmeter").info("news")
    assert [line["event"] for line in lines(log)] == ["news"]


def test_a_line_is_a_line_whatever_is_in_it(log: io.StringIO) -> None:
    logging.getLogger("costmeter").info("one\ntwo\x1b[31m%s", "\r\n{}")
    (line,) = lines(log)
    assert line["event"] == "one\ntwo\x1b[31m\r\n{}"
    assert log.getvalue().count("\n") == 1


def test_on_a_terminal_it_is_for_people() -> None:
    stream = io.StringIO()
    logs.configure("info", stream, as_json=False)
    logging.getLogger("costmeter").info("hello")
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_request_id_is_on_each_line_of_its_task_and_on_no_other(log: io.StringIO) -> None:
    async def handle(request_id: str) -> None:
        with logs.bound(request_id=request_id):
            await asyncio.sleep(0)
            logging.getLogger("costmeter.api").info("from %s", request_id)

    async def both() -> None:
        await asyncio.gather(handle("r1"), handle("r2"))
        logging.getLogger("costmeter.api").info("from none")

    asyncio.run(both())
    assert {line["event"]: line.get("request_id") for line in lines(log)} == {
        "from r1": "r1",
        "from r2": "r2",
        "from none": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY} refused",
        f"key {OURS} refused",
        f"Authorization: Bearer {KEY}",
        "Authorization: Basic aHVzaDpodXNo",
        "{'authorization': 'short-hush'}",
        "x-api-key: short-hush",
        "GET /v1?api_key=short-hush&month=2026-11",
        "postgresql://somebody:hush@db/books is away",
    ],
)
def test_no_secret_is_written_wherever_it_stands(log: io.StringIO, text: str) -> None:
    logger = structlog.get_logger("costmeter")
    logger.info(text, where=text, inside={"list": [text, {"deep": text}]}, raw=text.encode())
    logging.getLogger("httpcore2").warning("%s", text)
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("costmeter").exception("failed")
    written = log.getvalue()
    assert len(lines(log)) == 3
    for secret in (KEY, OURS, "hush", "aHVzaDpodXNo"):
        assert secret not in written


@pytest.mark.parametrize("name", ["authorization", "Authorization", "x-api-key", "api_key", "password", "set-cookie"])
def test_what_is_named_like_a_secret_is_not_written_at_all(log: io.StringIO, name: str) -> None:
    structlog.get_logger("costmeter").info("asked", headers={name: "hush"}, **{name: b"hush"})
    (line,) = lines(log)
    assert (line["headers"][name], line[name]) == ("***", "***")


def test_figures_stay_figures(log: io.StringIO) -> None:
    structlog.get_logger("costmeter").info("answered", status=200, seconds=0.5, is_new=True, nothing=None)
    (line,) = lines(log)
    assert (line["status"], line["seconds"], line["is_new"], line["nothing"]) == (200, 0.5, True, None)


def test_a_warning_of_python_is_a_line_too(log: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in lines(log)[0]["event"]


def test_the_recorder_configures_nothing() -> None:
    """In somebody else's program the log is theirs."""
    import subprocess
    import sys

    program = (
        "import logging, sys\nimport costmeter\nfrom costmeter.recorder import spools, client\n"
        "sys.exit(bool(logging.getLogger().handlers) or 'structlog' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
