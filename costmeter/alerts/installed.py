"""What channels need besides costmeter itself."""

from __future__ import annotations

from importlib.util import find_spec

from costmeter.core.errors import SetupError


def need(kind: str, *packages: str) -> None:
    """Raises SetupError, which names the installation, where one of a channel's packages is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise SetupError(f"a channel of kind {kind} needs {', '.join(missing)}: run pip install 'costmeter[alerts]'")
