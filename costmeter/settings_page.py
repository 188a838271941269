"""The page of every setting, made from the settings themselves: python -m costmeter.settings_page > docs/settings.md"""

from __future__ import annotations

import sys
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from costmeter.settings import PREFIX, Settings

_HEAD = f"""\
# Settings

Made from `costmeter/settings.py` by `make settings`; a test holds the two equal.

Every setting is a variable of the environment, and may come from a file instead by the same name with `_FILE` behind
it: `{PREFIX}DATABASE_URL_FILE=/run/secrets/database_url`. What is empty is not set; a name that is none of these is a
warning; a value that cannot be used is refused by name.

| setting | default | means |
|---|---|---|
"""


def page() -> str:
    """The page as it is to stand in docs/settings.md."""
    return _HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    meaning = str(field.description) + _choices(field.annotation)
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {meaning} |\n"


def _default(field: FieldInfo) -> str:
    """The default as one would write it; one that depends on the machine is in the meaning."""
    if field.default_factory is not None or field.default is None:
        return ""
    value: Any = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:%H:%M}`" if hasattr(value, "hour") else f"`{value}`"


def _choices(annotation: Any) -> str:
    if get_origin(annotation) is not Literal:
        return ""
    return "; one of " + ", ".join(f"`{choice}`" for choice in get_args(annotation))


if __name__ == "__main__":
    sys.stdout.write(page())
