"""A process of costmeter's own collects garbage seldom; a program that wraps its client keeps its own ways."""

from __future__ import annotations

import gc
import subprocess
import sys

COLLECTOR = "import gc; print(gc.get_freeze_count() > 0, gc.get_threshold())"


def told(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def test_a_command_collects_seldom() -> None:
    run = "from costmeter.cli.main import main; main(['prices', 'list']); "
    assert told(run + COLLECTOR) == f"True {(50_000, *gc.get_threshold()[1:])}"


def test_once() -> None:
    run = "import gc; from costmeter.wiring import collect_seldom; collect_seldom(); before = gc.get_freeze_count(); "
    run += "made = [[] for _ in range(1000)]; collect_seldom(); print(gc.get_freeze_count() == before)"
    assert told(run) == "True"


def test_a_wrapped_client_leaves_the_collector_as_it_is() -> None:
    run = "import gc; usual = gc.get_threshold(); from openai import OpenAI; import costmeter; "
    run += "costmeter.wrap(OpenAI(api_key='sk-x')); "
    assert told(run + "print(gc.get_freeze_count(), gc.get_threshold() == usual)") == "0 True"
