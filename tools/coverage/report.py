# SPDX-License-Identifier: GPL-2.0
"""Prints what the last run of `make coverage` reached: `python -m tools.coverage.report`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools.coverage import counters, llvm, summary
from tools.coverage.llvm import Counts
from tools.coverage.module_file import ModuleFile
from tools.guest.errors import ToolError
from tools.guest.paths import BUILD

RESULTS = BUILD / "coverage"
COUNTERS = RESULTS / "counters"
# By the number that tools/coverage/variant.c gives them.
MODULES = (
    BUILD / "check-coverage/virtio_balloon_rs.ko",
    BUILD / "check-coverage-kunit/virtio_balloon_rs.ko",
)


def make() -> list[str]:
    """Writes and prints the results; returns the groups that are below the bar."""
    files = sorted(COUNTERS.glob("*.counters"))
    if not files:
        raise ToolError(f"no guest left counters in {COUNTERS}")
    found: dict[Path, Counts] = {}
    for variant, path in enumerate(MODULES):
        profile = counters.profile(ModuleFile(path), counters.total(files, variant))
        for source, counts in llvm.counts(path, profile, RESULTS / path.parent.name).items():
            found.setdefault(source, Counts()).add(counts)
    measured = summary.files(found)
    (RESULTS / "uncovered.txt").write_text(summary.uncovered(measured))
    (RESULTS / "summary.json").write_text(json.dumps(summary.data(measured), indent=1) + "\n")
    print(summary.table(measured))
    print(f"\n{len(files)} guests; what did not run is in {RESULTS / 'uncovered.txt'}")
    return summary.below_bar(measured)


def main() -> int:
    try:
        below = make()
    except ToolError as error:
        print(f"coverage: {error}", file=sys.stderr)
        return 1
    if below:
        print(f"below {summary.BAR} % of the lines: {', '.join(below)}", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
