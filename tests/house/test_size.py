"""It fits a screen: modules, functions and argument lists stay small enough to be read at once."""

from __future__ import annotations

import ast

import pytest

from tests.house.sources import Source, functions, imports, parsed, sources

MODULE_LINES = 350
FUNCTION_LINES = 50  # without the docstring
POSITIONAL_PARAMETERS = 5  # more of them, and the rest belongs after the *


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function from its def to its end, without its docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def positional_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, options: set[str]) -> list[str]:
    """The parameters that callers tell apart by their place. A command's options come by name, from its user."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    names = [argument.arg for argument in arguments if annotation_of(argument) not in options]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def annotation_of(argument: ast.arg) -> str:
    annotation = argument.annotation
    named = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return named.id if isinstance(named, ast.Name) else ""


def options_of(source: Source) -> set[str]:
    """The annotations that make a parameter an option of a command."""
    if source.part != "cli":
        return set()
    shared = "costmeter.cli.options."
    return {"Annotated"} | {name.removeprefix(shared) for _, name in imports(source) if name.startswith(shared)}


def too_large(source: Source) -> list[str]:
    found = []
    options = options_of(source)
    if source.lines > MODULE_LINES:
        found.append(f"{source.path} has {source.lines} lines, the limit is {MODULE_LINES}: split it by noun or verb")
    for function in functions(source):
        where = f"{source.path}:{function.lineno} {function.name}()"
        if (lines := body_lines(function)) > FUNCTION_LINES:
            found.append(f"{where} has {lines} lines, the limit is {FUNCTION_LINES}: name its parts")
        if len(names := positional_parameters(function, options)) > POSITIONAL_PARAMETERS:
            found.append(f"{where} takes {len(names)} parameters by position, the limit is {POSITIONAL_PARAMETERS}")
    return found


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.path)
def test_modules_functions_and_argument_lists_are_small(source: Source) -> None:
    assert not too_large(source)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n" * MODULE_LINES, 0),
        ("x = 1\n" * (MODULE_LINES + 1), 1),
        ("def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1), 0),
        ("def f():\n" + "    x = 1\n" * FUNCTION_LINES, 1),
        ('def f():\n    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * (FUNCTION_LINES - 1), 0),
        ("async def f():\n" + "    x = 1\n" * FUNCTION_LINES, 1),
        ("class A:\n    def f(self, a, b, c, d, e, *, f): ...\n", 0),
        ("class A:\n    def f(self, a, b, c, d, e, f): ...\n", 1),
        ("def f(a, b, /, c, d, e, f): ...\n", 1),
    ],
)
def test_the_limits_are_where_they_are_said_to_be(text: str, found: int) -> None:
    assert len(too_large(parsed("costmeter.x", "x.py", text))) == found


def test_the_options_of_a_command_are_no_parameters_by_position() -> None:
    text = """
from costmeter.cli.options import Month
def report(a: Month, b: Month, c: Annotated[str, 1], d: Annotated[int, 2], e: str, f: str, g: Month): ...
"""
    assert not too_large(parsed("costmeter.cli.report", "report.py", text))
    assert too_large(parsed("costmeter.services.report", "report.py", text))
