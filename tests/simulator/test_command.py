"""`costmeter simulate`, as a process of its own."""

from __future__ import annotations

import importlib.util
import inspect
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import typer
from anthropic import Anthropic
from openai import OpenAI
from typer.testing import CliRunner

from costmeter.cli.simulate import simulate
from costmeter.core.errors import CostmeterError, InputError, SetupError
from costmeter.simulator.faults import KINDS

from . import raw

PROGRAM = "import typer; from costmeter.cli.simulate import simulate; typer.run(simulate)"


@contextmanager
def running(*options: str) -> Iterator[tuple[str, list[str]]]:
    """The base URL of a simulator that is interrupted afterwards and has to end in peace, and all that it says."""
    command = [sys.executable, "-c", PROGRAM, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            said = [process.stdout.readline() for _ in range(5)]
            yield said[0].split()[3], said
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_it_serves_until_interrupted() -> None:
    options = ["--start", "2025-03-01T16:30:00Z", "--currency", "CNY", "--granted", "5", "--topped-up", "7.25"]
    with running(*options) as (base_url, _):
        books = httpx2.get(f"{base_url}/_simulator/ledger").json()
        clock = httpx2.get(f"{base_url}/_simulator/clock").json()

    assert (books["currency"], books["granted_balance"], books["topped_up_balance"]) == ("CNY", "5.00", "7.25")
    assert clock == {"now": "2025-03-01T16:30:00Z"}


def test_it_says_how_each_format_finds_it() -> None:
    with running("--start", "2026-11-22T12:00:00Z") as (base_url, said):
        first, chat, fim, messages, faults = said
        with OpenAI(**taken(chat)) as client, OpenAI(**taken(fim)) as beta, Anthropic(**taken(messages)) as claude:
            model, hello = "deepseek-flash", [{"role": "user", "content": "Hello"}]
            assert client.chat.completions.create(model=model, messages=hello).choices  # type: ignore[arg-type]
            assert client.responses.create(model=model, input="Hello").output_text
            assert beta.completions.create(model=model, prompt="Hello").choices
            assert claude.messages.create(model=model, max_tokens=9, messages=hello).content  # type: ignore[arg-type]
        assert f"{base_url}/_simulator/ledger" in first
        assert httpx2.get(faults.split()[1].rstrip(",")).json()["billed"] == 4


def taken(line: str) -> Any:
    """What a client in a printed line takes."""
    return dict(re.findall(r'(\w+)="([^"]+)"', line))


def test_faults_and_waiting_come_from_the_command_line() -> None:
    options = ["--start", "2025-03-01T12:00:00Z", "--answer-time", "60", "--trailing-usage", "--faults", "no_usage:1"]
    with running(*options, "--fault-seed", "3", "--keep-alive", "0.5") as (base_url, _):
        assert raw.call(base_url).usage() is None
        (call,) = httpx2.get(f"{base_url}/_simulator/ledger").json()["calls"]

    assert (call["completed_at"], call["fault"]) == ("2025-03-01T12:01:00Z", "no_usage")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"start": "2025-03-01"}, "start"),
        ({"currency": "EUR"}, "currency"),
        ({"granted": "1e3"}, "granted"),
        ({"topped_up": ""}, "topped_up"),
        ({"chunk_delay": -1.0}, "chunk_delay"),
        ({"answer_time": -1.0}, "answer_time"),
        ({"answer_time": float("nan")}, "answer_time"),
        ({"keep_alive": 0.0}, "keep_alive"),
        ({"faults": "reset"}, "faults"),
        ({"faults": "reste:0.1"}, "kind"),
        ({"faults": "reset:2"}, "rate of reset"),
        ({"port": -1}, "port"),
        ({"host": "256.0.0.1"}, "address"),
    ],
)
def test_a_bad_option_is_an_input_error(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refused:
        simulate(**options)

    assert refused.value.field == field
    assert refused.value.remedy


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(SetupError, match=r"pip install 'costmeter\[simulator\]'") as refused:
        simulate()
    assert isinstance(refused.value, CostmeterError)


def test_every_option_is_explained() -> None:
    app = typer.Typer()
    app.command()(simulate)

    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output

    options = [name.replace("_", "-") for name in inspect.signature(simulate).parameters]
    assert not [option for option in options if f"--{option} " not in shown]
    assert not [kind for kind in KINDS if kind not in shown]
    assert "/_simulator/ledger" in shown
    assert "/_simulator/faults" in shown
