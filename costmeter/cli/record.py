"""`costmeter record`: usage events from NDJSON into the database, each once, however often it is run."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from costmeter import wiring
from costmeter.cli.database import database
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line, print_note
from costmeter.core.errors import InputError
from costmeter.services.capture import capture
from costmeter.services.record_calls import Broken, Received, Tally
from costmeter.store import accounts
from costmeter.store.engine import reading

BATCH = 1_000
MOST_SHOWN = 20


def record(
    file: Annotated[str, typer.Argument(help="An NDJSON file of usage events; - for standard input.")],
    as_json: AsJson = False,
) -> None:
    """Record usage events and post their charges; running it again changes nothing. Exit 1 where any was refused."""
    tally, occurrences = Tally(), Counter[bytes]()
    shown = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with database() as engine, _opened(file) as stream, shown as progress:
        task = progress.add_task("recording", total=None if file == "-" else max(Path(file).stat().st_size, 1))
        lines = _received(stream, file)
        while batch := list(islice(lines, BATCH)):
            received = [one for one, _ in batch]
            tally.include(
                capture(engine, received, book=wiring.price_book(), home=wiring.home(), occurrences=occurrences)
            )
            progress.update(task, advance=sum(size for _, size in batch))
        with reading(engine) as connection:
            frozen = accounts.frozen(connection)
    _print(tally, as_json)
    note_frozen(account for account in frozen if account.account in tally.accounts)
    raise typer.Exit(int(bool(tally.conflicts or tally.quarantined)))


def _opened(file: str) -> IO[bytes]:
    try:
        return sys.stdin.buffer if file == "-" else Path(file).open("rb")
    except OSError as error:
        raise InputError("file", file, f"cannot be read: {error.strerror}") from error


def _received(stream: IO[bytes], file: str) -> Iterator[tuple[Received, int]]:
    """Each line that is not blank, as its JSON or as what may be kept of a broken line, and its size."""
    name = "stdin" if file == "-" else Path(file).name.encode("utf-8", "backslashreplace").decode()
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            body: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            body = Broken(hashlib.sha256(line).hexdigest(), len(line), _problem(error))
        yield Received(body, f"{name}:{number}"), len(line)


def _problem(error: Exception) -> str:
    """Why a line is no JSON, without a word of it."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if isinstance(error, UnicodeDecodeError):
        return "no UTF-8"
    return "nested too deep" if isinstance(error, RecursionError) else "a number has too many digits"


def _print(tally: Tally, as_json: bool) -> None:
    for refusal in tally.refusals[:MOST_SHOWN]:
        print_note(f"{refusal.place}: {refusal.kind}: {refusal.error}")
    if len(tally.refusals) > MOST_SHOWN:
        print_note(f"... and {len(tally.refusals) - MOST_SHOWN} more; see: costmeter quarantine list")
    if as_json:
        print_json(tally.counts())
        return
    counts = tally.counts()
    print_line(f"accepted {counts.pop('accepted'):>12,}")
    for name in ("unpriced", "unmetered", "failed", "without_id"):
        if count := counts.pop(name):
            print_line(f"  {name.replace('_', ' '):<11}{count:>8,}")
    for name, count in counts.items():
        print_line(f"{name:<12}{count:>9,}")
