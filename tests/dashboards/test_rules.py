"""The rules of Prometheus: promtool finds nothing wrong, each alert fires and does not, and leads to what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.dashboards.boards import DASHBOARDS
from tests.dashboards.running import program

FOLDER = DASHBOARDS / "prometheus"
OPERATIONS = DASHBOARDS.parent / "docs" / "operations.md"
RULES = ("recording.yml", "alerts.yml")


def loaded(name: str) -> Any:
    return YAML(typ="safe").load(FOLDER / name)


def alerts() -> list[dict[str, Any]]:
    return [rule for group in loaded("alerts.yml")["groups"] for rule in group["rules"]]


def promtool(*arguments: object, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_promtool_finds_nothing_wrong() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    config = promtool("check", "config", "--syntax-only", "prometheus.yml")
    assert config.returncode == 0, config.stdout + config.stderr
    assert loaded("prometheus.yml")["rule_files"] == [*RULES]


def test_each_alert_fires_and_does_not_fire() -> None:
    tested = promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    expected: dict[str, list[bool]] = defaultdict(list)
    for test in loaded("alerts_test.yml")["tests"]:
        for asked in test["alert_rule_test"]:
            expected[asked["alertname"]].append(bool(asked["exp_alerts"]))
    assert dict(expected) == {rule["alert"]: [True, False] for rule in alerts()}


@pytest.mark.parametrize("wrong", ["vector(1) > 2", "vector(1)"])
def test_the_tests_see_an_alert_that_never_fires_and_one_that_always_does(wrong: str, tmp_path: Path) -> None:
    for file in FOLDER.glob("*.yml"):
        shutil.copy(file, tmp_path)
    text = re.sub(r"expr: '.*'", f"expr: '{wrong}'", (FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    (tmp_path / "alerts.yml").write_text(text, encoding="utf-8")
    tested = promtool("test", "rules", "alerts_test.yml", folder=tmp_path)
    assert tested.returncode == 1
    failed = re.findall(r"alertname: ?(\w+)", tested.stderr + tested.stdout)
    assert {*failed} == {rule["alert"] for rule in alerts()}


def test_each_alert_says_how_bad_it_is_and_leads_to_what_to_do() -> None:
    headings = re.findall(r"^#+ (.*)$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {*rule["annotations"]} == {"summary", "description", "runbook"}
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md"
        assert anchor == rule["alert"].lower()
        assert anchor in anchors
