"""The statement's page: all of its figures and nothing but texts in it, whatever somebody named things."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from typing import Any

import pytest

from costmeter.core.errors import SetupError
from costmeter.core.money import format_amount, parse_amount, round_amount
from costmeter.exports import statement_page, templates
from costmeter.exports.page_table import added, pieces, rounded
from costmeter.exports.statement_page import statement_html, statement_pdf
from costmeter.reports.lessons import month_lessons
from costmeter.store.engine import open_engine, reading
from tests.exports import statement_shapes as shapes
from tests.make import an_event, record_and_post

SHAPES = ("small", "empty", "closed", "large", "hostile")
VOID = {"meta", "wbr", "br"}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "div", "span", "h1",
    "h2", "p", "strong", "bdi", "wbr", "br", "ul", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody",
    "tfoot", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "name", "content", "class", "id", "role", "scope", "tabindex", "aria-hidden", "aria-labelledby",
}  # fmt: skip


class Element:
    """An element with its attributes, and everything in it."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element | str] = []

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, *tags: str) -> list[Element]:
        return [one for one in self.walk() if one.tag in tags]

    def walk(self) -> Iterator[Element]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.walk()


class Parser(HTMLParser):
    """Makes the tree; an element that is not closed, or closed twice, is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(html: str) -> Element:
    parser = Parser()
    parser.feed(html)
    parser.close()
    (root,) = parser.open
    return root


def page(name: str) -> Element:
    return parsed(statement_html(getattr(shapes, name)()))


def amounts(shape: Any) -> Iterator[str]:
    """Every amount of a statement, wherever it stands, but for what only the rounding note tells."""
    if isinstance(shape, dict):
        for key, value in shape.items():
            if not key.endswith("rounding"):
                yield from amounts(value)
    elif isinstance(shape, list):
        for value in shape:
            yield from amounts(value)
    elif isinstance(shape, str) and re.fullmatch(r"-?\d+\.\d{2,}", shape):
        yield shape


def table(root: Element, caption: str) -> list[list[str]]:
    """The texts of a table's rows, its heading first."""
    (found,) = [one for one in root.all("table") if one.all("caption")[0].text == caption]
    return [[cell.text.strip() for cell in row.all("th", "td")] for row in found.all("tr")]


@pytest.mark.parametrize("name", SHAPES)
class TestEveryPage:
    def test_it_is_texts_and_refers_to_nothing(self, name: str) -> None:
        root = page(name)
        for one in root.walk():
            assert one.tag in TAGS, one.tag
            assert {*one.attributes} <= ATTRIBUTES, one.attributes
        (style,) = [one.text for one in root.all("style")]
        assert not re.search(r"url\(|@import|expression|//", style)

    def test_all_amounts_stand_in_it_with_all_their_digits(self, name: str) -> None:
        shape = getattr(shapes, name)()
        texts = {one.text.strip().removesuffix(" %") for one in page(name).all("td", "dd")}
        assert {*amounts(shape)} <= texts
        assert len({*amounts(shape)}) > 10 or name == "empty"

    def test_its_tables_tell_a_screen_reader_what_is_what(self, name: str) -> None:
        root = page(name)
        for one in root.all("table"):
            assert one.all("caption")[0].text
            heading, *rows = one.all("tr")
            columns = heading.all("th")
            assert all(cell.attributes["scope"] == "col" and cell.text for cell in columns)
            for row in rows:
                assert [cell.attributes["scope"] for cell in row.all("th")] == ["row"]
                assert len(row.all("th", "td")) == len(columns)
        named = [one.attributes["id"] for one in root.walk() if "id" in one.attributes]
        assert len(named) == len({*named})
        assert {one.attributes["aria-labelledby"] for one in root.walk() if "aria-labelledby" in one.attributes} <= {
            *named
        }

    def test_the_points_of_a_column_stand_in_line(self, name: str) -> None:
        for one in page(name).all("table"):
            fractions: dict[int, set[int]] = {}
            for row in one.all("tr")[1:]:
                for place, cell in enumerate(row.all("th", "td")):
                    kind, *more = cell.attributes["class"].split()
                    if kind == "amount" and cell.text[-1:].isdigit():
                        pad = sum(int(name.removeprefix("pad")) for name in more if name.startswith("pad"))
                        fractions.setdefault(place, set()).add(len(cell.text.partition(".")[2]) + pad)
            assert all(len(found) == 1 for found in fractions.values()), fractions


class TestFigures:
    def test_the_balance_goes_from_opening_to_closing_by_its_movements(self) -> None:
        heading, *rows = table(page("small"), "Balance")
        assert heading == ["Movement", "Granted", "Topped up", "Total", "Rounded, USD"]
        assert rows[0] == ["Balance at the beginning", "10.00", "45.5000004", "55.5000004", "55.50"]
        assert rows[4] == ["Usage of the month", "-12.50", "-115.2239096", "-127.7239096", "-127.72"]
        assert rows[-1] == ["Balance at the end", "0.00", "-3.214567890125", "-3.214567890125", "-3.21"]
        for place in (1, 2, 3):
            *parts, end = (parse_amount(row[place]) for row in rows)
            assert sum(parts) == end

    def test_usage_is_told_by_model_band_and_meter(self) -> None:
        rows = table(page("small"), "Usage by model, band and meter")
        assert rows[1:5] == [
            ["deepseek-flash", "off_peak", "12,345", "", "43.529562684", "43.53"],
            ["Cache hits", "", "", "812,345,678", "2.437037034", ""],
            ["Cache misses", "", "", "91,234,567", "13.68518505", ""],
            ["Output", "", "", "45,678,901", "27.4073406", ""],
        ]
        assert rows[-1] == ["Usage of the month", "", "21,554", "", "127.7239096", "127.72"]

    def test_what_has_no_price_is_unpriced_and_never_0(self) -> None:
        shape = shapes.small()
        lines = [{"meter": "output", "quantity": 5, "amount": None}]
        shape["usage"].append({"model": "deepseek-9", "band": None, "calls": 1, "lines": lines, "cost": None})
        shape["counts"]["unpriced"] = 1
        root = parsed(statement_html(shape))
        rows = table(root, "Usage by model, band and meter")
        assert rows[-3:-1] == [
            ["deepseek-9", "", "1", "", "unpriced", "unpriced"],
            ["Output", "", "", "5", "unpriced", ""],
        ]
        assert "1 call unpriced: counted, cost unknown and not in the sums" in [one.text for one in root.all("li")]

    def test_the_rounding_is_stated(self) -> None:
        notes = [one.text for one in page("small").all("p") if one.text.startswith("Rounding")]
        rule = "Rounding: each row by itself to 2 decimals, half to even. The rounded rows add up to "
        assert notes == [
            f"{rule}-3.21, the rounded total is -3.21, the difference 0.00.",
            f"{rule}127.73, the rounded total is 127.72, the difference -0.01.",
        ]

    def test_a_part_that_is_0_everywhere_has_no_column(self) -> None:
        heading, *rows = table(page("small"), "Usage by project")
        assert heading == ["Project", "Calls", "Cost", "Rounded, USD", "Granted", "Topped up", "Overdraft"]
        assert [row[0] for row in rows] == ["search", "(none)", "Total"]
        assert rows[-1][1:3] == ["21,554", "127.7239096"]
        assert len(table(page("large"), "Usage by project")[0]) == 8

    def test_who_decided_what_and_why_stands_beside_a_credit(self) -> None:
        said = [row[1].translate({0x2068: None, 0x2069: None}) for row in table(page("small"), "Credits")[1:]]
        assert said == [
            "granted, welcome",
            "topped up, invoice-17",
            "topped up, correction; by mira (the console shows less)",
            "granted; voided by mira (granted twice)",
        ]

    def test_what_the_month_teaches_is_told_with_what_moved(self) -> None:
        rows = table(page("small"), "What the month teaches")
        assert rows[1] == [
            "search", "deepseek-flash", "61.102233445", "89.68 %", "170.654321", "41.0908642", "40.00123", "45.10 %",
        ]  # fmt: skip
        moved = table(page("small"), "Moved most against 2026-10, by project")
        assert moved[2:] == [
            ["(none)", "0.00", "17.00", "17.00", "", "new"], ["chat", "4.25", "0.00", "-4.25", "-100.00 %", "gone"],
        ]  # fmt: skip

    def test_only_the_dearest_rows_of_many_are_shown_and_it_is_said(self) -> None:
        shape = shapes.small()
        shape["lessons"]["rows"] = [
            {"project": f"p{number}", "model": "m", **shapes.taught(cost=f"{number}.00")} for number in range(30)
        ]
        root = parsed(statement_html(shape))
        shown = table(root, "What the month teaches")[1:-1]
        assert [row[0] for row in shown] == [f"p{number}" for number in range(29, 9, -1)]
        assert any("the 20 that cost the most of 30" in note.text for note in root.all("p"))

    def test_a_month_before_that_is_detached_is_not_compared_with(self) -> None:
        shape = shapes.small()
        shape["lessons"]["movers"] = None
        html = statement_html(shape)
        assert "Moved most" not in html
        assert "Calls of 2026-10 are detached" in html


class TestState:
    def test_an_open_month_says_that_it_is_not_final(self) -> None:
        text = page("small").all("body")[0].text
        assert "The month is open." in text
        assert "As of 2026-11-26 08:15:30 UTC." in text
        assert "An open month has no seal." in text

    def test_a_closed_one_names_who_closed_it_its_seal_and_the_override_in_full(self) -> None:
        root = page("closed")
        text = root.all("body")[0].text
        assert "The month is open." not in text
        assert "Closed 2026-12-04 09:00:00 UTC by mira." in text
        assert "Closed by an override of mira: the calendar of 2027 is late" in text
        assert "2 calls are provisional" in [one.text for one in root.all("li")]
        assert {"0f" * 32, "a7" * 32, "3c" * 32, "e1" * 32 + "e2" * 32, "18204 to 39767"} <= {
            one.text for one in root.all("dd")
        }
        assert [one.attributes["content"] for one in root.all("meta") if one.attributes.get("name") == "keywords"] == [
            f"sha256:{'0f' * 32}"
        ]

    def test_what_is_in_doubt_is_named_and_if_nothing_is_that(self) -> None:
        found = [one.text for one in page("small").all("main")[0].all("li")]
        assert found[0] == "12 calls failed: not charged"
        assert len(found) == 3
        assert "Nothing is in doubt: each of 0 calls" in page("empty").all("main")[0].text


def test_hostile_names_are_shown_as_they_are() -> None:
    root = page("hostile")
    for caption, column in (("Usage by project", 0), ("Usage by API key", 0), ("History from the console", 1)):
        assert [row[column] for row in table(root, caption)[1:]][: len(shapes.HOSTILE)] == [*shapes.HOSTILE]
    isolated = [one.text for one in root.all("bdi")]
    assert all(isolated.count(text) >= 6 for text in shapes.HOSTILE)


def test_long_words_can_be_broken_and_short_ones_stay_whole() -> None:
    assert pieces("مشروع البحث") == ["مشروع البحث"]
    assert pieces("a b " + "c" * 45) == ["a b " + "c" * 20, "c" * 20, "c" * 5]
    for text in (*shapes.HOSTILE, *shapes.CJK, "", "two\nlines"):
        assert "".join(pieces(text)) == text


@pytest.mark.parametrize("units", [0, 5 * 10**9, 15 * 10**9, -5 * 10**9, 10**30 + 1, -1, 995 * 10**10, 2**200])
def test_the_column_for_reading_rounds_as_the_statement_does(units: int) -> None:
    assert rounded(format_amount(units), 2).replace(",", "") == format_amount(round_amount(units, 2))
    assert added([format_amount(units), "0.000000000001", "-5.10"]) == format_amount(units + 1 - 51 * 10**11)


def test_every_text_can_be_read_on_its_ground() -> None:
    """WCAG 2.2 AA asks for a contrast of 4.5 to 1."""
    (style,) = [one.text for one in page("small").all("style")]
    schemes = [
        dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6})", text))
        for text in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert len(schemes) == 2
    for colours in schemes:
        grounds = {"page": ("text", "muted", "minus"), "band": ("text", "muted", "minus")}
        pairs = [(text, ground) for ground, texts in grounds.items() for text in texts]
        for text, ground in (*pairs, ("closed", "closed-ground"), ("open", "open-ground")):
            high, low = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("name", "make"), [("jinja2", statement_html), ("weasyprint", statement_pdf)])
def test_without_the_extra_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[[Any], object]
) -> None:
    templates.template.cache_clear()
    for module in (templates, statement_page):
        monkeypatch.setattr(module, "find_spec", lambda wanted: None if wanted == name else find_spec(wanted))
    with pytest.raises(SetupError, match=rf"{name} is not installed: run pip install 'costmeter\[finance\]'"):
        make(shapes.empty())


def test_what_the_store_teaches_is_what_the_page_shows(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    night = an_event("night", "2025-03-03T17:00:00Z", project="search")
    record_and_post(engine, an_event("day", project="search"), night, an_event("old", "2025-02-10T12:00:00Z"))
    with reading(engine) as connection:
        taught = month_lessons(connection, "default", "2025-03").as_dict()
    engine.dispose()
    root = parsed(statement_html(shapes.small() | {"lessons": taught}))
    assert table(root, "What the month teaches")[1:] == [
        ["search", "deepseek-chat", "1.65", "", "0.00", "0.55", "0.55", "0.00 %"],
        ["Total", "", "1.65", "", "0.00", "0.55", "0.55", "0.00 %"],
    ]
    assert table(root, "Moved most against 2025-02, by project")[1:] == [
        ["search", "0.00", "1.65", "1.65", "", "new"], ["(none)", "1.10", "0.00", "-1.10", "-100.00 %", "gone"],
    ]  # fmt: skip
