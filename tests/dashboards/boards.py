"""The dashboards as they are committed, and their questions as Grafana would ask them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARDS = Path(__file__).resolve().parents[2] / "dashboards"
NAMES = ("spend", "operations")
ALL = "*"


class Asked(NamedTuple):
    """One question of a panel, and how its answer is to look."""

    panel: str
    text: str
    layout: str


def board(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DASHBOARDS / "grafana" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def panels(name: str) -> Iterator[dict[str, Any]]:
    """The panels that show something: rows are headings."""
    return (panel for panel in board(name)["panels"] if panel["type"] != "row")


def questions(name: str) -> list[Asked]:
    return [
        Asked(
            panel["title"],
            target.get("rawSql") or target["expr"],
            str(target["format"]) if "format" in target else "range",
        )
        for panel in panels(name)
        for target in panel["targets"]
    ]


def question(name: str, panel: str) -> str:
    """What the one panel of that title asks."""
    (found,) = [asked.text for asked in questions(name) if asked.panel == panel]
    return found


def as_sql(text: str, start: datetime, end: datetime, chosen: Mapping[str, str | Sequence[str]]) -> str:
    """A question with Grafana's macros and variables put in; "*" is what All stands for, as the dashboard says."""

    def value(match: re.Match[str]) -> str:
        picked = chosen[match[1]]
        texts = [picked] if isinstance(picked, str) else picked
        return ",".join("'" + one.replace("'", "''") + "'" for one in texts)

    first, last = (f"'{edge:%Y-%m-%dT%H:%M:%SZ}'" for edge in (start, end))
    text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {first} AND {last}", text)
    text = text.replace("$__timeFrom()", first).replace("$__timeTo()", last)
    text = re.sub(r"\$__timeGroup\((\w+), '1h'\)", r"floor(extract(epoch from \1)/3600)*3600", text)
    text = re.sub(r"\$\{(\w+):sqlstring\}", value, text)
    assert "$" not in text, text
    return text


def as_promql(text: str, *, job: str = ".+", over: str = "1m") -> str:
    text = text.replace("$job", job).replace("$__rate_interval", over)
    assert "$" not in text, text
    return text
