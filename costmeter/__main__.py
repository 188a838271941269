"""`python -m costmeter`."""

from __future__ import annotations

import sys

from costmeter.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
