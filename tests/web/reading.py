"""What a page shows, read out of its HTML."""

from __future__ import annotations

from html.parser import HTMLParser

from costmeter.web.texts import MINUS, THIN

_VOID = ("meta", "link", "input", "img", "br", "wbr")


class Read(HTMLParser):
    """The texts of everything that is marked by `data-of`, and the tables by the id of their caption, row by row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.marked: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[tuple[str, str | None]] = []
        self._table = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        mark = given.get("data-of")
        if mark is not None:
            self.marked[mark] = ""
        if tag not in _VOID:
            self._open.append((tag, mark))
        if tag == "caption":
            self._table = str(given["id"])
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in ("td", "th"):
            self.tables[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, mark in self._open:
            if mark is not None:
                self.marked[mark] += data
        if any(tag in ("td", "th") for tag, _ in self._open):
            self.tables[self._table][-1][-1] += data

    def amount(self, mark: str) -> str:
        """An exact amount as JSON writes it."""
        return plain(self.marked[mark])

    def body(self, table: str) -> list[list[str]]:
        """The rows of a table without its heading, numbers as JSON writes them."""
        return [[plain(cell) for cell in row] for row in self.tables[table][1:]]


def plain(text: str) -> str:
    words = text.replace(THIN, "").replace(MINUS, "-").split()
    return " ".join(word for word in words if word not in ("USD", "CNY"))
