"""The project's own source files, parsed once, for the tests that read code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "costmeter"


class Source(NamedTuple):
    """One Python file: its dotted name, its path in the project, and its tree."""

    name: str
    path: str
    tree: ast.Module
    lines: int

    @property
    def part(self) -> str:
        """The folder or module right below the package: core, store, settings ..."""
        return part_of(self.name)


def part_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def parsed(name: str, path: str, text: str) -> Source:
    return Source(name, path, ast.parse(text), text.count("\n"))


@cache
def sources(folder: str = PACKAGE) -> tuple[Source, ...]:
    """Every Python file of a folder of the project."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        place = path.relative_to(ROOT)
        name = ".".join(place.with_suffix("").parts).removesuffix(".__init__")
        found.append(parsed(name, str(place), path.read_text(encoding="utf-8")))
    assert found, f"no source in {folder}"
    return tuple(found)


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """The line and dotted name of everything that a file imports, inside functions too.

    `from costmeter.store import accounts` is costmeter.store.accounts: what is named may be a module.
    """
    package = source.name if source.path.endswith("__init__.py") else source.name.rpartition(".")[0]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parts = package.split(".")
                origin = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def calls(source: Source) -> Iterator[tuple[int, str]]:
    """The line and name of everything that a file calls; of `a.b.c()` the name is c."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.lineno, node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.lineno, node.func.attr


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
