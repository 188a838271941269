"""A message as HTML for mail clients: tables and inline styles, in light and dark, nothing loaded from afar."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from costmeter.core.notices import RAISED, RECOVERED, Message

if TYPE_CHECKING:
    from jinja2 import Template

_COLOURS = {RAISED: "#d9822b", RECOVERED: "#2e9e6b"}
_NEWS = "#2f6fde"


def mail_html(message: Message, image: str | None) -> str:
    """The page of a message; `image` is the Content-ID of its chart, where it has one."""
    return _template().render(message=message, image=image, colour=_COLOURS.get(message.event, _NEWS))


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    text = resources.files("costmeter.alerts").joinpath("mail.html.j2").read_text(encoding="utf-8")
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.from_string(text)
