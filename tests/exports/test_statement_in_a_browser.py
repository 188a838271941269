"""The statement's page in a real browser: what it shows in light and dark, and on a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest
from PIL import Image

from costmeter.exports.statement_page import statement_html
from tests.conftest import missing
from tests.exports import statement_shapes as shapes


@pytest.fixture
def chromium(tmp_path: Path) -> list[str]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("chromium is not installed; it is in the package chromium")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    return [str(found), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", profile]


@pytest.mark.parametrize(("scheme", "ground"), [("1", (255, 255, 255)), ("0", (0x14, 0x17, 0x1B))])
def test_it_follows_the_colours_that_the_reader_prefers(
    chromium: list[str], tmp_path: Path, scheme: str, ground: tuple[int, ...]
) -> None:
    (tmp_path / "page.html").write_text(statement_html(shapes.closed()), encoding="utf-8")
    picture = tmp_path / "page.png"
    subprocess.run(
        [*chromium, f"--blink-settings=preferredColorScheme={scheme}", "--window-size=1200,900",
         f"--screenshot={picture}", f"file://{tmp_path / 'page.html'}"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    with Image.open(picture) as image:
        shown = image.convert("RGB")
    counts = {colour: count for count, colour in shown.getcolors(1 << 24) or []}
    assert max(counts, key=lambda colour: counts[colour]) == ground
    assert len(counts) > 50, "there are letters on it"


@pytest.mark.parametrize("name", ["small", "large", "hostile"])
def test_on_a_phone_only_the_tables_go_sideways(chromium: list[str], tmp_path: Path, name: str) -> None:
    html = escape(statement_html(getattr(shapes, name)()))
    measure = "document.title = document.querySelector('iframe').contentDocument.documentElement.scrollWidth"
    (tmp_path / "phone.html").write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><iframe width=360 height=700 style="border:0" srcdoc="{html}" '
        f'onload="{measure}"></iframe>',
        encoding="utf-8",
    )
    dumped = subprocess.run(
        [*chromium, "--dump-dom", f"file://{tmp_path / 'phone.html'}"],
        check=True, capture_output=True, timeout=120,
    ).stdout.decode()  # fmt: skip
    assert re.findall(r"<title>(\d+)</title>", dumped) == ["360"]
