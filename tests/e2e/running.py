"""Programs of their own, with nothing of this process's environment that could matter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.cli.running import Ran


def run_program(source: str, *arguments: str, folder: Path, **settings: str) -> Ran:
    """Run Python source in a process of its own, with COSTMETER_ settings; HOME and data are the folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTMETER_")}
    environment |= {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), "PYTHONWARNINGS": "error"}
    environment |= {f"COSTMETER_{name}": value for name, value in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=60,
        check=False,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)
