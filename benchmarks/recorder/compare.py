"""Runs every contender against the bare SDK: processes in turn, round after round, against one local server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.recorder.server import serving
from benchmarks.recorder.venvs import ROOT, python_of

ROUNDS = 3
OURS = "costmeter"
PATIENCE = 600  # seconds for one process
SETTINGS = ("COSTMETER_", "LANGFUSE_", "LITELLM_", "OPENAI_", "OTEL_", "TRACELOOP_")


class Contender(NamedTuple):
    """One way of recording, and how many calls of each kind it makes in each round."""

    label: str
    name: str
    json_calls: int
    stream_calls: int
    is_flushed: bool = False

    @property
    def is_ours(self) -> bool:
        return self.name == OURS


CONTENDERS = (
    Contender("costmeter, delivering meanwhile", OURS, 500, 40),
    Contender("costmeter, delivering after", OURS, 200, 20, is_flushed=True),
    Contender("langfuse", "langfuse", 200, 12),
    Contender("opentelemetry", "opentelemetry", 200, 12),
    Contender("litellm", "litellm", 200, 12),
)


class Outcome(NamedTuple):
    """What a contender's processes found, all rounds together; or the reason why there is nothing."""

    contender: Contender
    found: dict[str, Any]
    version: str = ""
    problem: str = ""

    @property
    def label(self) -> str:
        return self.contender.label if self.contender.is_ours else f"{self.contender.label} {self.version}"


def compare() -> list[Outcome]:
    """One outcome for each contender. A rival that fails is an outcome with its problem; raises where ours fails."""
    outcomes = {contender: Outcome(contender, {}) for contender in CONTENDERS}
    with serving() as url:
        for number in range(1, ROUNDS + 1):
            for contender, outcome in outcomes.items():
                if not outcome.problem:
                    print(f"round {number} of {ROUNDS}: {contender.label}", file=sys.stderr, flush=True)
                    outcomes[contender] = _with_round(outcome, url)
    return list(outcomes.values())


def _with_round(outcome: Outcome, url: str) -> Outcome:
    contender = outcome.contender
    try:
        found = _measure(contender, url)
    except (subprocess.SubprocessError, OSError) as error:
        if contender.is_ours:
            raise RuntimeError(f"{contender.label}: {_reason(error)}") from error
        return outcome._replace(problem=_reason(error))
    return outcome._replace(version=found.pop("version"), found=_joined(outcome.found, found))


def _measure(contender: Contender, url: str) -> dict[str, Any]:
    """What one process finds, in an empty home of its own."""
    python = sys.executable if contender.is_ours else python_of(contender.name)
    command = [python, "-m", "benchmarks.recorder.rounds", contender.name, url]
    command += [str(contender.json_calls), str(contender.stream_calls), *(["--flushed"] * contender.is_flushed)]
    with tempfile.TemporaryDirectory() as home:
        ran = subprocess.run(
            command, cwd=ROOT, env=_environment(home), check=True, capture_output=True, text=True, timeout=PATIENCE
        )
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def _environment(home: str) -> dict[str, str]:
    """This one, less what is meant for one of the contenders; litellm takes the prices that it brings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {
        **kept,
        "HOME": home,
        "XDG_DATA_HOME": home,
        "COSTMETER_DATABASE_URL": f"sqlite:///{Path(home, 'costmeter.sqlite3')}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def _joined(before: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The samples of another round after those of the rounds before it."""
    return {
        kind: {way: [*before.get(kind, {}).get(way, []), *samples] for way, samples in ways.items()}
        for kind, ways in found.items()
    }


def _reason(error: Exception) -> str:
    """The last thing that a failed process said, or else the error."""
    said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else ""
    return str(said).splitlines()[-1] if said else f"{type(error).__name__}: {error}"
