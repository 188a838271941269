"""`costmeter simulate`, as a process of its own."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import typer
from typer.testing import CliRunner

from costmeter.cli.simulate import simulate
from costmeter.core.errors import CostmeterError, InputError, SetupError

PROGRAM = "import typer; from costmeter.cli.simulate import simulate; typer.run(simulate)"


@contextmanager
def running(*options: str) -> Iterator[str]:
    """The base URL of a simulator that is interrupted afterwards and has to end in peace."""
    command = [sys.executable, "-c", PROGRAM, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            yield process.stdout.readline().split()[3]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_it_serves_until_interrupted() -> None:
    options = ["--start", "2025-03-01T16:30:00Z", "--currency", "CNY", "--granted", "5", "--topped-up", "7.25"]
    with running(*options) as base_url:
        books = httpx2.get(f"{base_url}/_simulator/ledger").json()
        clock = httpx2.get(f"{base_url}/_simulator/clock").json()

    assert (books["currency"], books["granted_balance"], books["topped_up_balance"]) == ("CNY", "5.00", "7.25")
    assert clock == {"now": "2025-03-01T16:30:00Z"}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"start": "2025-03-01"}, "start"),
        ({"currency": "EUR"}, "currency"),
        ({"granted": "1e3"}, "granted"),
        ({"topped_up": ""}, "topped_up"),
        ({"chunk_delay": -1.0}, "chunk_delay"),
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

    for option in ("--host", "--port", "--start", "--currency", "--granted", "--topped-up", "--chunk-delay"):
        assert option in shown
    assert "/_simulator/ledger" in shown
