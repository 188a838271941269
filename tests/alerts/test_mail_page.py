"""The page of a mail: everything in it, nothing from elsewhere, every text escaped, readable in light and dark."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from costmeter.alerts.mail_page import mail_html
from costmeter.core.notices import Message
from tests.alerts.examples import examples
from tests.alerts.messages import a_message


class Page(HTMLParser):
    """The texts of a page, and what it refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.refers: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.refers += [value or "" for name, value in attrs if name in ("src", "href", "background")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.mark.parametrize("message", examples(), ids=lambda message: f"{message.kind}-{message.event}")
def test_a_page_says_all_that_the_text_says_and_loads_nothing(message: Message) -> None:
    page = Page(mail_html(message, "chart@x" if message.chart else None))
    said = {message.title, message.text, *(text for line in message.lines for text in line if text)}
    said |= {cell for table in message.tables for row in (table.columns, *table.rows) for cell in row if cell}
    assert said <= {*page.texts}
    assert [one for one in page.refers if one != message.url] == (["cid:chart@x"] if message.chart else [])
    assert not {*page.tags} & {"script", "iframe", "object", "form", "link"}
    assert "url(" not in mail_html(message, None)


def test_whatever_a_budget_is_called_it_is_a_text() -> None:
    html = mail_html(a_message(budget='<img src="https://evil.example/x"><script>'), None)
    assert "<script>" not in html
    assert all(one.startswith("https://costmeter.example/budgets/") for one in Page(html).refers)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_text_can_be_read_in_light_and_dark() -> None:
    """By WCAG 2.2, 1.4.3: 4.5 to 1, of a text's colour and that of the card or page behind it."""
    html = mail_html(a_message(), "chart@x")
    dark = dict(re.findall(r"\.(\w+)(?: td)? \{ (?:background-)?color: (#\w{6}) !important", html))
    light = {*re.findall(r"[;\"]color:(#\w{6})", html)}
    assert len(light) >= 4
    assert all(_contrast(colour, paper) >= 4.5 for colour in light for paper in ("#ffffff", "#f3f5f8"))
    assert {"strong", "soft", "link", "card", "page"} <= dark.keys()
    for name in ("strong", "soft", "link"):
        assert all(_contrast(dark[name], dark[paper]) >= 4.5 for paper in ("card", "page")), name
