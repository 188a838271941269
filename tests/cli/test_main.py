"""The command as a whole: help everywhere, one line for an error, and the exit codes of the contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import costmeter
from costmeter.cli.main import app
from costmeter.settings import Settings
from tests.cli.running import Run, write
from tests.make import an_event

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(sys.executable).with_name("costmeter")
TOP_LEVEL = {
    "record", "report", "export", "balance", "credit", "account", "quote", "prices", "quarantine", "verify", "db",
    "simulate", "demo", "doctor", "flush", "reprice", "keys", "audit", "serve", "scheduler",
    "statement", "close", "import", "reconcile", "lessons", "forecast", "digest", "budget", "alerts", "watch",
    "gateway", "daily", "weekly", "monthly",
}  # fmt: skip


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group with its path."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=["-".join(path) or "costmeter" for path in ALL])
def test_every_command_and_every_option_says_what_it_does(run: Run, path: tuple[str, ...]) -> None:
    assert ALL[path].help
    for parameter in ALL[path].params:
        assert parameter.help, f"{' '.join(path)} {parameter.name}"
    shown = run(*path, "--help").done
    assert shown.startswith(" ".join(["Usage: costmeter", *path]))
    assert ALL[path].help.split()[0] in shown


def test_the_top_level_has_the_commands_of_the_contract() -> None:
    assert {path[0] for path in ALL if len(path) == 1} == TOP_LEVEL


def test_the_readme_mentions_every_command_but_that_of_the_schema_in_use() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in TOP_LEVEL - {"demo"}:
        assert f"costmeter {name} " in readme, name
    assert "make demo" in readme


def test_it_tells_its_version_and_without_a_command_its_help(run: Run) -> None:
    assert run("--version").done == f"{costmeter.__version__}\n"
    assert run().done.startswith("Usage: costmeter [OPTIONS] COMMAND [ARGS]...")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("nonsense", "No such command 'nonsense'. See: costmeter --help"),
        ("--nonsense", "No such option: --nonsense See: costmeter --help"),
        ("credit", "Missing command. See: costmeter credit --help"),
        ("export", "Missing command. See: costmeter export --help"),
        ("record", "Missing argument 'file'. See: costmeter record --help"),
        ("credit add --kind granted", "Missing option '--amount'. See: costmeter credit add --help"),
        ("export nonsense", "No such command 'nonsense'. See: costmeter export --help"),
        ("quarantine show", "Missing argument 'item'. See: costmeter quarantine show --help"),
    ],
)
def test_a_command_line_that_is_wrong_is_refused_with_where_to_read(run: Run, arguments: str, says: str) -> None:
    assert run(*arguments.split()).refused == says


@pytest.mark.parametrize("arguments", ["report --month 2025-03 --format xml", "quote --cache-hit x"])
def test_an_option_of_another_kind_is_refused_by_its_name(run: Run, arguments: str) -> None:
    option = arguments.split()[-2]
    assert run(*arguments.split()).refused.startswith(f"Invalid value for '{option}': ")


def test_a_database_error_is_one_line_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam, this is no database. " * 200)
    monkeypatch.setenv("COSTMETER_DATABASE_URL", f"sqlite:///{tmp_path / 'letter.txt'}")

    assert run("balance").refused == "database: file is not a database"


def test_a_server_that_is_not_there_is_one_line_without_its_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", "postgresql://somebody:hidden@127.0.0.1:1/books")

    refused = run("balance").refused
    assert refused.startswith("database: connection failed")
    assert "hidden" not in refused


def test_a_folder_that_cannot_be_made_is_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COSTMETER_DATABASE_URL", f"sqlite:///{tmp_path / 'file' / 'books.sqlite3'}")

    says = f"the folder of the database, {tmp_path / 'file'}, cannot be made: File exists"
    assert run("balance").refused == says


def test_the_script_does_it_all_from_outside(tmp_path: Path) -> None:
    """One process of its own: the default database, standard input, UTF-8 whatever the locale, and a broken pipe."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COSTMETER_", "LC_"))}
    environment |= {"XDG_DATA_HOME": str(tmp_path), "LANG": "C", "COSTMETER_CURENCY": "CNY"}
    bodies = [an_event(f"é-{number}", project="Größe") for number in range(5_000)]
    file = write(tmp_path / "calls.ndjson", *bodies)
    shell = f"'{SCRIPT}' record - < '{file}' && '{SCRIPT}' export charges --month 2025-03 | head -2"

    ended = subprocess.run(["sh", "-c", shell], capture_output=True, env=environment, timeout=60, check=False)

    assert ended.returncode == 0
    assert (tmp_path / "costmeter" / "costmeter.sqlite3").is_file()
    lines = ended.stdout.decode().splitlines()
    assert lines[0] == "accepted        5,000"
    assert lines[-1].startswith("é-0,default,Größe,")
    known = ", ".join(sorted(f"COSTMETER_{name.upper()}" for name in Settings.model_fields))
    warned = f"costmeter: warning: COSTMETER_CURENCY is no setting of costmeter; known: {known}"
    assert set(ended.stderr.decode().splitlines()) == {warned}
    assert ended.stderr.count(b"\n") == 2, "once a process"


def test_it_can_be_run_as_a_module_by_the_same_name() -> None:
    source = (ROOT / "costmeter" / "__main__.py").read_text(encoding="utf-8")
    assert re.search(r"sys\.exit\(main\(\)\)", source)
