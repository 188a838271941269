"""A venv for each rival, made from its lock when it is first needed and made anew when the lock changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENVS = ROOT / ".venv-rivals"
LOCKS = ROOT / "benchmarks" / "rivals"


def python_of(rival: str) -> Path:
    """The interpreter of the rival's venv. Raises CalledProcessError where the rival cannot be installed."""
    lock, folder = LOCKS / f"{rival}.lock", VENVS / rival
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp, content = folder / ".installed", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != content:
        _run(sys.executable, "-m", "venv", "--clear", folder)
        _run(*_install(python), "--quiet", "--require-hashes", "-r", lock)
        stamp.write_text(content, encoding="utf-8")
    return python


def _install(python: Path) -> list[str | Path]:
    """The command that installs into a venv; uv, where it is there, is only faster."""
    if shutil.which("uv"):
        return ["uv", "pip", "install", "--python", python]
    return [python, "-m", "pip", "install", "--disable-pip-version-check"]


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
