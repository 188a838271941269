"""What Grafana reads as it starts: the sources that the dashboards ask for, and where the dashboards are."""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml import YAML

from costmeter.store.views import VIEWS
from tests.dashboards.boards import DASHBOARDS, NAMES, board

FOLDER = DASHBOARDS / "grafana" / "provisioning"
DEPLOY = DASHBOARDS.parent / "deploy"


def loaded(path: Any) -> Any:
    return YAML(typ="safe").load(path)


def test_there_is_a_source_of_each_type_that_is_asked() -> None:
    sources = loaded(FOLDER / "datasources" / "costmeter.yaml")["datasources"]
    asked = {one["query"] for name in NAMES for one in board(name)["templating"]["list"] if one["type"] == "datasource"}
    assert {source["type"] for source in sources} == asked
    for source in sources:
        for secret in source.get("secureJsonData", {}).values():
            assert re.fullmatch(r"\$__file\{.*\}|\$\w+", secret), "a secret stands in a file or in the environment"
        assert source["url"].startswith("$"), "a place is the operator's to say"


def test_the_dashboards_are_read_from_the_folder_they_are_mounted_at() -> None:
    (provider,) = loaded(FOLDER / "dashboards" / "costmeter.yaml")["providers"]
    grafana = loaded(DEPLOY / "compose.yaml")["services"]["grafana"]
    mounted = {target: source for source, target, *_ in (volume.split(":") for volume in grafana["volumes"])}
    folder = provider["options"]["path"]
    for name in NAMES:
        source = (DEPLOY / mounted[f"{folder}/{name}.json"]).resolve()
        assert source == (DASHBOARDS / "grafana" / f"{name}.json").resolve()
    assert (DEPLOY / mounted["/etc/grafana/provisioning"]).resolve() == FOLDER.resolve()


def test_what_compose_says_is_all_that_the_sources_ask_for() -> None:
    text = (FOLDER / "datasources" / "costmeter.yaml").read_text(encoding="utf-8")
    grafana = loaded(DEPLOY / "compose.yaml")["services"]["grafana"]
    named = {*re.findall(r"\$(DASHBOARDS_\w+)", text)}
    assert len(named) == 3
    assert named <= {*grafana["environment"]}
    for secret in re.findall(r"\$__file\{/run/secrets/(\w+)\}", text):
        assert secret in grafana["secrets"]


def test_prometheus_is_given_the_rules() -> None:
    said = loaded(DEPLOY / "prometheus.yml")
    mounted = [volume.split(":") for volume in loaded(DEPLOY / "compose.yaml")["services"]["prometheus"]["volumes"]]
    for path in said["rule_files"]:
        (source,) = [source for source, target, *_ in mounted if target == path]
        assert (DEPLOY / source).resolve().parent == (DASHBOARDS / "prometheus").resolve()
    assert len(said["rule_files"]) == 2


def test_the_roles_recipe_names_every_view() -> None:
    recipe = (DASHBOARDS.parent / "docs" / "reporting.md").read_text(encoding="utf-8")
    assert f"GRANT SELECT ON {', '.join(VIEWS)} TO" in recipe
