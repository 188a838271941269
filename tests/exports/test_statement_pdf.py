"""The statement as a PDF, read back and turned into pictures by another program than the one that writes it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pypdfium2
import pypdfium2.raw as raw
import pytest

from costmeter.exports import statement_page
from costmeter.exports.statement_page import statement_pdf
from tests.conftest import missing
from tests.exports import statement_shapes as shapes
from tests.exports.test_statement_page import amounts

ROOT = Path(__file__).resolve().parents[2]
UPRIGHT, LYING = (595, 842), (842, 595)  # A4 in points
MARGIN = 14 / 25.4 * 72  # points


@cache
def written(name: str) -> bytes:
    """Each statement is written once for all tests; of the large one the pages go on for 300 projects."""
    return statement_pdf(getattr(shapes, name)())


@cache
def texts(name: str) -> list[str]:
    """What stands on each page."""
    document = pypdfium2.PdfDocument(written(name))
    return [page.get_textpage().get_text_bounded() for page in document]


def squeezed(text: str) -> str:
    """Without spaces and line ends, since a name may be broken over lines; at a line's end pdfium gives \\2 for "-"."""
    return re.sub(r"\s", "", text.replace("\2", "-"))


@pytest.mark.parametrize("name", ["small", "empty", "closed", "large", "hostile"])
class TestEveryStatement:
    def test_each_amount_is_in_its_text(self, name: str) -> None:
        words = {word for text in texts(name) for word in text.split()}
        assert {*amounts(getattr(shapes, name)())} <= words

    def test_each_page_has_its_number_and_whose_it_is(self, name: str) -> None:
        shape = getattr(shapes, name)()
        pages = texts(name)
        for number, text in enumerate(pages, 1):
            assert f"{number} / {len(pages)}" in text
            assert squeezed(shape["account"]) in squeezed(text)
            assert f"Statement {shape['month']}, {shape['currency']}" in text
            assert shape["state"] in text
            assert shape["closing"] is None or f"sha256 {shape['closing']['sha256']}" in text

    def test_its_sheets_are_a4_and_nothing_runs_over_their_margins(self, name: str) -> None:
        for page in pypdfium2.PdfDocument(written(name)):
            size = (round(page.get_width()), round(page.get_height()))
            assert size in (UPRIGHT, LYING)
            picture = page.render(scale=1).to_pil().convert("L")
            edge = int(MARGIN) - 2
            for side in ((0, 0, edge, size[1]), (size[0] - edge, 0, size[0], size[1])):
                assert picture.crop(side).getextrema() == (255, 255)
            assert picture.getextrema()[0] < 80, "something is printed"

    def test_its_metadata_have_title_and_seal(self, name: str) -> None:
        shape = getattr(shapes, name)()
        found = pypdfium2.PdfDocument(written(name)).get_metadata_dict()
        assert found["Title"] == f"Statement {shape['month']}, {shape['account']}, {shape['state']}"
        assert found["Keywords"] == (f"sha256:{shape['closing']['sha256']}" if shape["closing"] else "")
        assert (found["CreationDate"], found["ModDate"]) == ("", ""), "the bytes do not depend on the hour"


def test_as_many_pages_as_it_takes_and_a_wide_table_lies() -> None:
    counts = {name: len(texts(name)) for name in ("empty", "small", "large")}
    assert counts["empty"] == 1
    assert 2 <= counts["small"] <= 4
    assert 10 <= counts["large"] <= 40
    sizes = [round(page.get_width()) for page in pypdfium2.PdfDocument(written("large"))]
    assert sizes[0] == sizes[-1] == UPRIGHT[0]
    assert LYING[0] in sizes


def test_each_of_300_projects_is_in_it_and_the_heading_on_each_page() -> None:
    pages = [squeezed(text) for text in texts("large")]
    shape = shapes.large()
    for project in shape["showback"]["project"]:
        assert any(squeezed(project["name"]) in text for text in pages), project["name"]
    with_projects = [text for text in texts("large") if "recommendation-service" in text]
    assert len(with_projects) > 5
    assert all("Untracked" in text for text in with_projects)


def test_a_total_never_stands_alone_on_a_page() -> None:
    for name in ("small", "closed", "large"):
        continued = [text.rpartition("Model and meter")[2] for text in texts(name) if "Model and meter" in text]
        ends = [text.partition("Usage of the month")[0] for text in continued if "Usage of the month" in text]
        assert len(ends) == 1
        assert "Output" in ends[0]


def test_chinese_japanese_and_korean_names_are_letters_and_no_boxes() -> None:
    fc_list = shutil.which("fc-list")
    if fc_list is None or not subprocess.run([fc_list, ":lang=zh"], capture_output=True, check=True).stdout:
        missing("no font for Chinese is installed; one is in the package fonts-noto-cjk")
    found = [one for page in pypdfium2.PdfDocument(written("large")) for one in printed(page)]
    for letter in "搜検검客":
        fonts = {font for text, font in found if letter in text}
        assert fonts, letter
        assert all("CJK" in font for font in fonts), fonts


def printed(page: pypdfium2.PdfPage) -> Iterator[tuple[str, str]]:
    """Each stretch of text on a page, and the name of the font that it is printed in."""
    own = page.get_textpage()
    for one in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT]):
        text = ctypes.create_string_buffer(2 * raw.FPDFTextObj_GetText(one, own, None, 0))
        raw.FPDFTextObj_GetText(one, own, ctypes.cast(text, ctypes.POINTER(ctypes.c_ushort)), len(text))
        font = raw.FPDFTextObj_GetFont(one)
        name = ctypes.create_string_buffer(raw.FPDFFont_GetBaseFontName(font, None, 0))
        raw.FPDFFont_GetBaseFontName(font, name, len(name))
        yield text.raw.decode("utf-16-le").rstrip("\0"), name.value.decode()


def test_the_same_statement_is_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from tests.exports import statement_shapes as shapes\n"
        "from costmeter.exports.statement_page import statement_pdf\n"
        "print(hashlib.sha256(statement_pdf(shapes.closed())).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert ended.stdout.strip() == hashlib.sha256(written("closed")).hexdigest()
    assert written("closed") != written("small")


def test_whatever_a_page_refers_to_is_not_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        html = f'<link rel="stylesheet" href="{address}.css"><p>text<img src="{address}.png"><img src="file:///etc/passwd">'
        assert pypdfium2.PdfDocument(statement_page._printed(html))[0].get_textpage().get_text_bounded() == "text"
        with pytest.raises(BlockingIOError):
            server.accept()
