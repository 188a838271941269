"""The page of the settings is what the settings are."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmeter.settings import PREFIX, Settings
from costmeter.settings_page import page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make settings"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_has_its_row_with_what_it_means(name: str) -> None:
    (row,) = [line for line in page().splitlines() if line.startswith(f"| `{PREFIX}{name.upper()}` |")]
    _, _, default, meaning, _ = (cell.strip() for cell in row.split("|"))
    assert meaning.startswith(str(Settings.model_fields[name].description))
    assert default or "default" in meaning or Settings.model_fields[name].default is None
