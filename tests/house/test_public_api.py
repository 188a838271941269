"""What `import costmeter` offers is pinned: an addition is meant, and nothing goes missing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import costmeter

PUBLIC = [
    "AsyncRecordingTransport", "Charge", "Client", "Counts", "NoPriceError", "OverBudgetError",
    "RecordingTransport", "ServiceError", "__version__", "attribute", "flush", "quote", "stats", "wrap",
]  # fmt: skip


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(costmeter.__all__) == sorted(PUBLIC)
    assert [name for name in PUBLIC if not hasattr(costmeter, name)] == []


def test_each_public_function_and_class_says_what_it_is_for() -> None:
    offered = [getattr(costmeter, name) for name in PUBLIC if name != "__version__"]
    assert [thing for thing in offered if not (thing.__doc__ or "").strip()] == []


def test_the_version_is_that_of_the_installed_package() -> None:
    assert costmeter.__version__ == version("costmeter")


def test_importing_costmeter_does_not_need_what_only_some_installations_have() -> None:
    """The extras anthropic, openai, postgres and simulator are asked for when they are used."""
    program = (
        "import sys\n"
        "absent = 'anthropic', 'httpx', 'httpx2', 'openai', 'psycopg', 'starlette', 'uvicorn'\n"
        "for name in absent: sys.modules[name] = None\n"
        "import costmeter\n"
        "print(costmeter.__version__)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout.strip(), finished.stderr) == (0, costmeter.__version__, "")
