# SPDX-License-Identifier: GPL-2.0
"""Makes the patch series: `make series`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.series import produce
from tools.series.model import SeriesError

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.series", description=__doc__)
    parser.add_argument("kernel", type=Path, help="the source of the kernel that it is for")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build/series", help="where the patches go"
    )
    args = parser.parse_args()
    try:
        made = produce.produce(ROOT, args.kernel.resolve(), args.out.resolve())
    except SeriesError as error:
        print(f"virtio-balloon-rs: error: {error}", file=sys.stderr)
        return 1
    print(f"{len(made)} patches and a cover letter in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
