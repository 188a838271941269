"""Imports point inward, core is pure, the environment has one reader and engines have one builder."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.house.sources import PACKAGE, Source, calls, imports, parsed, part_of, sources

# What a part may import of costmeter besides itself; cli and what stands above the parts may import everything.
OF_COSTMETER: dict[str, set[str]] = {
    "core": set(),
    "prices": {"core"},
    "store": {"core"},
    "services": {"core", "store"},
    "settings": {"core"},
    "simulator": set(),
}
OUT = ("reports", "exports", "alerts")  # what goes out, which any door may hand out
DOORS = ("recorder", "gateway", "api", "web", "jobs", "simulator")
# What comes from elsewhere than the standard library, where that is limited.
FROM_ELSEWHERE: dict[str, set[str]] = {
    "core": set(),
    "prices": set(),
    "store": {"sqlalchemy", "alembic", "msgspec", "psycopg"},
    "services": {"sqlalchemy", "pandas", "numpy"},
}
# `verify` prices again by the book that each charge was priced by, which it reads from the stored edition.
EXCEPTIONS = {("costmeter.services.verify", "costmeter.prices.read")}

# Of the standard library, what has no clock, no chance, no input and no output.
PURE = {
    "__future__", "abc", "bisect", "collections", "contextlib", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "string", "types",
    "typing", "zoneinfo",
}  # fmt: skip
IMPURE_CALLS = {
    "now",
    "today",
    "utcnow",
    "open",
    "read_text",
    "read_bytes",
    "print",
    "input",
    "eval",
    "exec",
    "__import__",
}


def wrong_imports(source: Source) -> Iterator[str]:
    """What a file imports that its part may not."""
    for line, name in imports(source):
        root = name.split(".")[0]
        if root == PACKAGE:
            if not may_import(source, name):
                yield f"{source.path}:{line} imports {name}: {source.part} may not know {part_of(name) or PACKAGE}"
        elif source.part in FROM_ELSEWHERE and root not in sys.stdlib_module_names | FROM_ELSEWHERE[source.part]:
            yield f"{source.path}:{line} imports {name}: {source.part} may not know {root}"


def may_import(source: Source, name: str) -> bool:
    other = part_of(name)
    if other == source.part or any(source.name == here and name.startswith(there) for here, there in EXCEPTIONS):
        return True
    if source.part in OF_COSTMETER:
        return other in OF_COSTMETER[source.part]
    if source.part in OUT:
        return other not in (*OUT, *DOORS, "cli")
    if (source.part, other) == ("gateway", "recorder"):
        return True  # they share the tap and the spool
    return source.part not in DOORS or other not in (*DOORS, "cli")


def impurities(source: Source) -> Iterator[str]:
    """What a file of core does that depends on more than its arguments."""
    for line, name in imports(source):
        if name.split(".")[0] not in PURE | {PACKAGE}:
            yield f"{source.path}:{line} imports {name}: core has no clock, no chance, no input and no output"
    for line, name in calls(source):
        if name in IMPURE_CALLS:
            yield f"{source.path}:{line} calls {name}(): core has no clock, no chance, no input and no output"


def reads_of_the_environment(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute | ast.Name):
            continue
        named = node.attr if isinstance(node, ast.Attribute) else node.id
        if named in ("environ", "environb", "getenv", "getenvb"):
            yield f"{source.path}:{node.lineno} reads {named}: only settings.py reads the environment"
    for line, name in imports(source):
        if name.startswith(("os.environ", "os.getenv")):
            yield f"{source.path}:{line} imports {name}: only settings.py reads the environment"


def built_engines(source: Source) -> Iterator[str]:
    for line, name in calls(source):
        if name in ("create_engine", "create_async_engine", "engine_from_config", "open_engine"):
            yield f"{source.path}:{line} calls {name}(): only wiring/databases.py builds engines"


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.path)
def test_imports_point_inward_and_edges_do_not_know_each_other(source: Source) -> None:
    assert not [*wrong_imports(source)]


@pytest.mark.parametrize("source", [s for s in sources() if s.part == "core"], ids=lambda source: source.path)
def test_core_has_no_clock_no_chance_no_input_and_no_output(source: Source) -> None:
    assert not [*impurities(source)]


@pytest.mark.parametrize("source", [*sources(), *sources("migrations")], ids=lambda source: source.path)
def test_only_the_settings_read_the_environment(source: Source) -> None:
    assert source.name == "costmeter.settings" or not [*reads_of_the_environment(source)]


@pytest.mark.parametrize("source", [*sources(), *sources("migrations")], ids=lambda source: source.path)
def test_only_the_wiring_builds_engines(source: Source) -> None:
    """open_engine itself, in store/engine.py, is where create_engine is called."""
    if source.name not in ("costmeter.wiring.databases", "costmeter.store.engine"):
        assert not [*built_engines(source)]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("costmeter.core.money", "from costmeter.store import tables", 1),
        ("costmeter.core.money", "import numpy", 1),
        ("costmeter.store.events", "def f():\n    from costmeter.services.capture import capture", 1),
        ("costmeter.store.events", "from ..prices import read", 1),
        ("costmeter.store.events", "import pandas as pd", 1),
        ("costmeter.services.post_charges", "from costmeter.prices.read import builtin_book", 1),
        ("costmeter.services.verify", "from costmeter.prices.read import read_edition", 0),
        ("costmeter.services.verify", "from costmeter.reports import spend", 1),
        ("costmeter.simulator.bills", "from costmeter.core.money import parse_amount", 1),
        ("costmeter.simulator.bills", "from costmeter.simulator import money\nimport starlette", 0),
        ("costmeter.recorder.spool", "from costmeter.api.app import make_app", 1),
        ("costmeter.api.reports", "from costmeter.reports.spend import report", 0),
        ("costmeter.reports.spend", "from costmeter.exports import charges", 1),
        ("costmeter.reports.spend", "from costmeter.api import app", 1),
        ("costmeter.recorder.spool", "from costmeter.cli import main", 1),
        ("costmeter.recorder.spool", "from costmeter import wiring\nfrom costmeter.services import capture", 0),
        ("costmeter.cli.main", "from costmeter.reports import spend\nfrom costmeter.simulator import Simulator", 0),
    ],
)
def test_the_import_rules_see_what_they_forbid(name: str, text: str, found: int) -> None:
    assert len([*wrong_imports(parsed(name, f"{name}.py", text))]) == found


@pytest.mark.parametrize(
    "text",
    [
        "from datetime import datetime\ndatetime.now()", "import time", "from random import random", "import os",
        "open('x')", "from pathlib import Path", "date.today()", "print('x')", "import uuid",
    ],
)  # fmt: skip
def test_the_rule_of_purity_sees_what_it_forbids(text: str) -> None:
    assert [*impurities(parsed("costmeter.core.money", "money.py", text))]


@pytest.mark.parametrize("text", ["import os\nos.environ['A']", "from os import getenv", "import os\nos.getenv('A')"])
def test_the_rule_of_the_environment_sees_what_it_forbids(text: str) -> None:
    assert [*reads_of_the_environment(parsed("costmeter.wiring", "wiring.py", text))]


@pytest.mark.parametrize("text", ["open_engine('sqlite://')", "sqlalchemy.create_engine('sqlite://')"])
def test_the_rule_of_engines_sees_what_it_forbids(text: str) -> None:
    assert [*built_engines(parsed("costmeter.cli.main", "main.py", text))]
