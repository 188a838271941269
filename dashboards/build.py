"""Builds the dashboards: `python -m dashboards.build` writes dashboards/grafana/*.json anew."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.operations import operations
from dashboards.spend import spend

FOLDER = Path(__file__).resolve().parent / "grafana"
DASHBOARDS = {"spend": spend, "operations": operations}


def built() -> dict[Path, str]:
    """The text of each file."""
    return {
        FOLDER / f"{name}.json": json.dumps(make().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, make in DASHBOARDS.items()
    }


if __name__ == "__main__":
    for path, text in built().items():
        path.write_text(text, encoding="utf-8")
