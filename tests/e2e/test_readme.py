"""The README keeps its word: its program runs, and each of its commands is one."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main

from costmeter.cli.main import app
from costmeter.simulator import Simulator
from tests.cli.running import Run, write
from tests.e2e.running import run_program
from tests.exported import amount_row, an_export, cost_row
from tests.make import an_event

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for language, block in BLOCKS
    if not language  # the shell blocks of the service are run as they stand, by test_readme_service.py
    for line in block.splitlines()
    if line.startswith("costmeter ")
]
SERVES = "simulate"
SAY_NO = ("reconcile", "watch")  # by exit code 1: these books differ from the vendor's, and something is to be watched


def test_there_are_commands_and_one_program() -> None:
    assert len(COMMANDS) > 10
    assert [language for language, _ in BLOCKS].count("python") == 1


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_of_the_readme_parses(arguments: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    assert command.make_context(command.name, rest)


def test_the_commands_of_the_readme_can_be_typed_one_after_the_other(
    run: Run, sqlite_url: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("COSTMETER_DEEPSEEK_URL", simulator.base_url)
    monkeypatch.setenv("COSTMETER_DEEPSEEK_API_KEY", "sk-readme-test")
    monkeypatch.chdir(tmp_path)
    an_export(tmp_path / "usage.zip", [amount_row()], [cost_row()])
    write(tmp_path / "calls.ndjson", an_event("a", "2026-11-02T02:00:00Z", model="deepseek-flash", project="search"))
    for arguments in COMMANDS:
        if arguments[0] != SERVES:
            # A grant of an example expires one day, and the example with it.
            ran = run(*(re.sub(r"^20\d\d-12-31T", "2999-12-31T", argument) for argument in arguments))
            assert ran.code == (arguments[0] in SAY_NO), (arguments, ran.err)
            assert ran.out or "-o" in arguments

    assert len((tmp_path / "charges.csv").read_text().splitlines()) == 2


def test_the_program_of_the_readme_records_its_call(
    run: Run, sqlite_url: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = (block for language, block in BLOCKS if language == "python")
    here = program.replace('"https://api.deepseek.com"', repr(simulator.base_url)).replace('"..."', '"sk-readme-test"')
    assert here.count(simulator.base_url) == here.count("sk-readme-test") == 1

    assert run_program(here, folder=tmp_path, DATABASE_URL=sqlite_url).done == ""

    monkeypatch.setenv("COSTMETER_DATABASE_URL", sqlite_url)
    now = datetime.now(UTC)
    interval = ["--from", (now - timedelta(hours=1)).isoformat(), "--to", (now + timedelta(hours=1)).isoformat()]
    (row,) = run("report", *interval, "--by", "project,user,tag:team,model", "--json").json["rows"]
    assert [row[name] for name in ("project", "user", "tag:team", "model", "calls")] == [
        "search",
        "u-17",
        "a",
        "deepseek-flash",
        1,
    ]
