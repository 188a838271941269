"""The templates of pages: self-contained HTML, every text escaped."""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import TYPE_CHECKING

from costmeter.core.errors import SetupError

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def template(name: str) -> Template:
    """The template of that name; raises SetupError where the extra `finance` is not installed."""
    if find_spec("jinja2") is None:
        raise SetupError("jinja2 is not installed: run pip install 'costmeter[finance]'")
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_text)
    )
    return made.get_template(f"{name}.html.j2")


def _text(file: str) -> str:
    return resources.files("costmeter.exports").joinpath(file).read_text(encoding="utf-8")
