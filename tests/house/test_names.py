"""Names say what a thing is, money is never a float, and no file knows the machine it was written on."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.house.sources import ROOT, Source, calls, parsed, sources

NAMES_OF_NOTHING = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}
EXACT = ("core", "prices", "services", "store")
FOLDERS = ("costmeter", "migrations", "tests", "benchmarks", "dashboards")

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
# The home of whoever wrote it, or of the checkout, at the beginning of a path.
_MACHINE_PATH = re.compile(r"(?<![\w.~/:$}-])/(?:work|root|home|Users)/\w")


def names_of_nothing(source: Source) -> Iterator[str]:
    named = [(1, part) for part in source.name.split(".")]
    named += [
        (node.lineno, node.name)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    for line, name in named:
        words = {word.lower() for word in _WORD.findall(name)}
        if words & NAMES_OF_NOTHING and not name.startswith("test_"):
            yield f"{source.path}:{line} {name}: say what it holds or does"


def floats(source: Source) -> Iterator[str]:
    for line, name in calls(source):
        if name == "float":
            yield f"{source.path}:{line} calls float(): amounts, rates and counts are integers"


def files_of_the_project() -> list[str]:
    """What git tracks or would track; the names are relative to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    return sorted({name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})


def machine_paths(text: str) -> list[str]:
    return [match.group(0) for match in _MACHINE_PATH.finditer(text)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_function_or_class_has_a_name_that_says_nothing(folder: str) -> None:
    assert not [found for source in sources(folder) for found in names_of_nothing(source)]


@pytest.mark.parametrize("part", EXACT)
def test_nothing_that_handles_money_makes_a_float(part: str) -> None:
    assert not [found for source in sources(f"costmeter/{part}") for found in floats(source)]


def test_the_lock_names_no_index_and_no_place_to_download_from() -> None:
    """A lock with URLs in it installs from one place only, and tells the world which."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert [line for line in lock.splitlines() if re.search(r"https?://|file:|--(extra-)?index-url|^-e ", line)] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    found = []
    for name in files_of_the_project():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or an archive
        found += [
            f"{name}:{number} {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if machine_paths(line)
        ]
    assert found == []


@pytest.mark.parametrize("name", ["costmeter.utils", "costmeter.core.money_helpers", "costmeter.common.money"])
def test_the_rule_of_names_sees_modules(name: str) -> None:
    assert [*names_of_nothing(parsed(name, "x.py", ""))]


@pytest.mark.parametrize("text", ["def utils(): ...", "class SpoolManager: ...", "async def misc_part(): ..."])
def test_the_rule_of_names_sees_functions_and_classes(text: str) -> None:
    assert [*names_of_nothing(parsed("costmeter.core.money", "x.py", text))]


@pytest.mark.parametrize("text", ["float('5')", "x = [float(y) for y in z]"])
def test_the_rule_of_floats_sees_them(text: str) -> None:
    assert [*floats(parsed("costmeter.core.money", "x.py", text))]


def test_the_rule_of_machine_paths_sees_them_and_nothing_else() -> None:
    homes = [f"see {'/'}{place}/me/x" for place in ("work", "root", "home", "Users")]
    assert all(machine_paths(text) for text in homes)
    assert not machine_paths("https://example.org/home/x ~/work/x ./root/x {here}/work/x a/work/b :/work-share")
