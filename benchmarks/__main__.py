"""`make bench`: runs every benchmark and prints one row for each ratio."""

from __future__ import annotations

import platform
import sys

from benchmarks import price_quote


def main() -> int:
    print(
        f"Python {platform.python_version()}, {platform.machine()}; ratios are medians of paired rounds in one process"
    )
    rows = price_quote.rows()
    width = max(len(row.name) for row in rows)
    print(f"{'row':<{width}}  {'ours':>12}  {'rival':>12}  {'ratio':>7}  lowest .. highest")
    for row in rows:
        ratios = sorted(row.ratios)
        print(
            f"{row.name:<{width}}  {row.ours_us:>9.2f} us  {row.rival_us:>9.2f} us  {row.ratio:>6.1f}x  "
            f"{ratios[0]:.1f} .. {ratios[-1]:.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
