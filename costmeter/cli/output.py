"""How commands print: tables that never cut a number, JSON, and files that are whole or not there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_line(text: str = "") -> None:
    sys.stdout.write(text + "\n")


def print_note(text: str) -> None:
    """A line for people, beside the answer."""
    sys.stderr.write(text + "\n")


def print_table(
    columns: Mapping[str, str], rows: Sequence[Sequence[str]], *, total: Sequence[str] | None = None, title: str = ""
) -> None:
    """A table of texts; `columns` maps each heading to "left", "right" or "amount", whose points stand in line."""
    if title:
        print_line(title)
    table = Table(box=box.SIMPLE_HEAD, show_footer=total is not None)
    cells = [[*columns], *(list(map(printable, row)) for row in rows), *([list(total)] if total else [])]
    for position, side in enumerate(columns.values()):
        if side == "amount":
            _align_points(cells, position)
    for position, side in enumerate(columns.values()):
        justify: Any = "right" if side == "right" else "left"
        footer = cells[-1][position] if total else ""
        table.add_column(cells[0][position], justify=justify, no_wrap=True, footer=footer)
    for row in cells[1 : len(rows) + 1]:
        table.add_row(*row)
    width = sum(max(len(row[position]) for row in cells) + 6 for position in range(len(columns)))
    Console(width=2 * width, highlight=False, markup=False, emoji=False).print(table)


def printable(text: str) -> str:
    """The text as it stands, without what would steer a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _align_points(cells: Sequence[list[str]], position: int) -> None:
    """Pad a column of amounts to one width, so that their points stand in line however many digits each has."""
    heading, *amounts = cells
    decimals = max((len(row[position].partition(".")[2]) for row in amounts), default=0)
    for row in amounts:
        if row[position][-1:].isdigit():
            row[position] += " " * (decimals - len(row[position].partition(".")[2]))
    width = max(len(row[position]) for row in cells)
    for row in (heading, *amounts):
        row[position] = row[position].rjust(width)


@contextmanager
def output_file(path: Path | None) -> Iterator[TextIO]:
    """Where a text goes: standard output, or a file that appears whole once it is written."""
    if path is None:
        yield sys.stdout
        return
    from costmeter.exports.file import whole_file  # most commands write no file

    with whole_file(path) as out:
        yield out
