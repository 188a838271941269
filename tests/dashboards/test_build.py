"""The dashboards are what the code makes, and hang together."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.build import built
from tests.dashboards.boards import DASHBOARDS, NAMES, board, panels

WIDTH = 24


def test_building_gives_the_committed_files_to_the_byte() -> None:
    """`python -m dashboards.build` writes them anew."""
    texts = built()
    assert {path.name for path in texts} == {path.name for path in (DASHBOARDS / "grafana").glob("*.json")}
    for path, text in texts.items():
        assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", NAMES)
class TestBoard:
    def test_grafanas_own_types_read_it_and_lose_nothing(self, name: str) -> None:
        register_default_plugins()
        again = json.loads(json.dumps(Dashboard.from_json(board(name)), cls=JSONEncoder))
        assert again == board(name)

    def test_ids_are_unique_and_titles_too(self, name: str) -> None:
        everything = board(name)["panels"]
        ids = [panel["id"] for panel in everything]
        assert ids == list(range(1, len(ids) + 1))
        titles = [(panel["title"], panel["type"]) for panel in panels(name)]
        assert len({*titles}) == len(titles)

    def test_the_grid_is_filled_and_nothing_overlaps(self, name: str) -> None:
        cells: dict[int, int] = {}
        for panel in board(name)["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= WIDTH
            cells[place["y"]] = cells.get(place["y"], 0) + place["w"]
        assert {*cells.values()} == {WIDTH}
        for one, other in combinations([panel["gridPos"] for panel in board(name)["panels"]], 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert beside or below

    def test_the_data_source_is_the_readers_to_choose(self, name: str) -> None:
        """By a variable, and none by the id that one Grafana gave it."""
        variables = {one["name"]: one for one in board(name)["templating"]["list"]}
        found = [*_sources(board(name)["panels"]), *_sources([*variables.values()])]
        assert found
        for source in found:
            (variable,) = re.findall(r"^\$\{(\w+)\}$", source["uid"])
            assert variables[variable]["type"] == "datasource"
            assert variables[variable]["query"] == source["type"]

    def test_each_panel_says_what_it_shows(self, name: str) -> None:
        for panel in panels(name):
            assert panel["description"].endswith((".", ")."))
            assert panel["targets"]

    def test_it_leads_nowhere_else(self, name: str) -> None:
        assert "://" not in json.dumps(board(name))


def _sources(value: Any) -> list[dict[str, str]]:
    """Every data source that is named anywhere inside."""
    if isinstance(value, list):
        return [source for one in value for source in _sources(one)]
    if isinstance(value, dict):
        inner = [source for one in value.values() for source in _sources(one)]
        return inner + ([value["datasource"]] if "datasource" in value else [])
    return []
