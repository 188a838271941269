"""schemathesis over the whole description of a service: `python -m tests.api.fuzzing` runs it for long."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.api.serving import Api, served

# A text that is well formed may still be no instant, amount or zone: that is a 422, which is described. What an admin's
# key opens another admin made; and an account that is asked for again may have been made meanwhile.
LEFT_OUT = ("positive_data_acceptance", "ensure_resource_availability", "use_after_free")


def fuzz(api: Api, *, examples: int) -> tuple[int, str]:
    """The exit code of schemathesis, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{api.base_url}/openapi.json",
            "--header",
            f"Authorization: {api.headers['Authorization']}",
            "--exclude-checks",
            ",".join(LEFT_OUT),
            "--max-examples",
            str(examples),
            "--continue-on-failure",
            "--warnings",
            "off",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500, help="of each operation")
    parser.add_argument("--database", help="an SQLAlchemy URL; without it an SQLite file that is thrown away")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as data, served(options.database or f"sqlite:///{data}/fuzz.sqlite3") as api:
        code, said = fuzz(api, examples=options.examples)
    sys.stdout.write(said)
    sys.exit(code)
