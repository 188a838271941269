"""Tells the processes to take turns, round after round, and collects what they answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.recorder.venvs import ROOT, python_of
from benchmarks.row import Row

OURS = "costmeter"


class Contender(NamedTuple):
    """A way in its module, the interpreter of the venv that it runs in, and what it is opened with."""

    name: str
    module: str
    python: Path = Path(sys.executable)
    arguments: tuple[str, ...] = ()


class Taken(NamedTuple):
    """What a contender's process answered, round by round; the first round is its warm-up."""

    label: str
    seconds: tuple[float, ...]
    answers: tuple[Any, ...]
    peaks: tuple[float, ...]  # megabytes that the process had at most until the end of each round


def in_own_venv(name: str, module: str) -> tuple[list[Contender], list[str]]:
    """The rival of that name, or why its venv cannot be made."""
    try:
        return [Contender(name, module, python_of(name))], []
    except (subprocess.CalledProcessError, OSError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else ""
        return [], [f"{name} was not compared: {said.splitlines()[-1] if said else error}"]


def take_turns(contenders: list[Contender], *, rounds: int, size: int) -> list[Taken]:
    """So many rounds after one that is not counted. Raises RuntimeError with what a process said that failed."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_open(contender)) for contender in contenders]
        answers: list[list[dict[str, Any]]] = [[] for _ in contenders]
        for number in range(rounds + 1):
            for process, given in zip(processes, answers, strict=True):
                given.append(_ask(process, f"{number} {size}\n"))
        for process in processes:
            process.stdin.close()  # type: ignore[union-attr]  # it was opened with a pipe
    return [_taken(contender, given) for contender, given in zip(contenders, answers, strict=True)]


def rows(name: str, taken: list[Taken], size: int) -> list[Row]:
    """A row for each rival of the first; raises AssertionError where a rival's answers are others."""
    ours, *rivals = taken
    for rival in rivals:
        assert rival.answers == ours.answers, f"{rival.label} says {rival.answers}, {ours.label} {ours.answers}"
    return [Row(f"{name} {rival.label}", _per_call(ours, size), _per_call(rival, size)) for rival in rivals]


def peaks(taken: list[Taken], size: int) -> str:
    """What each process had of memory at most, after its first round and after all of them."""
    shown = [f"{each.label} {each.peaks[0]:.0f} and {each.peaks[-1]:.0f} MB" for each in taken]
    rounds = len(taken[0].peaks)
    return f"peak memory after {size:,} and after {size * rounds:,} calls: {'; '.join(shown)}"


def _per_call(taken: Taken, size: int) -> tuple[float, ...]:
    return tuple(seconds / size * 1e6 for seconds in taken.seconds[1:])


def _open(contender: Contender) -> subprocess.Popen[str]:
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # the prices that litellm brings
    return subprocess.Popen(
        [contender.python, "-m", "benchmarks.turns.way", contender.module, contender.name, *contender.arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
    )  # fmt: skip


def _ask(process: subprocess.Popen[str], told: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(told)
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with {process.wait()}; it says why above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _taken(contender: Contender, given: list[dict[str, Any]]) -> Taken:
    label = contender.name if contender.name == OURS else f"{contender.name} {given[0]['version']}"
    columns = ([round_[key] for round_ in given] for key in ("seconds", "answer", "peak"))
    return Taken(label, *(tuple(column) for column in columns))
