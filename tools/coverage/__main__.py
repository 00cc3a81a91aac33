# SPDX-License-Identifier: GPL-2.0
"""Runs tests with the modules that count, then reports. The arguments are pytest's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tools.coverage import counters, report
from tools.coverage.module_file import ModuleFile
from tools.guest.errors import ToolError
from tools.guest.paths import ROOT

TESTS = "tools/tests/guest"


def _environment() -> dict[str, str]:
    plain, kunit = report.MODULES
    return {
        **os.environ,
        "MODULE_CHECK": str(plain),
        "MODULE_CHECK_KUNIT": str(kunit),
        "BALLOON_COVERAGE": str(report.COUNTERS),
        "BALLOON_COVERAGE_KEEPER": str(plain.parent / "tools/coverage/balloon_coverage.ko"),
    }


def _names_tests(argument: str) -> bool:
    return (ROOT / argument.split("::")[0]).exists()


def main(arguments: list[str]) -> int:
    try:
        for module in report.MODULES:
            counters.check_room(ModuleFile(module))
    except (OSError, ToolError) as error:
        print(f"coverage: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(report.RESULTS, ignore_errors=True)
    report.COUNTERS.mkdir(parents=True)
    tests = [] if any(map(_names_tests, arguments)) else [TESTS]
    command = [sys.executable, "-m", "pytest", *tests, *arguments]
    failed = subprocess.run(command, cwd=ROOT, env=_environment(), check=False).returncode
    missing = report.main()
    if failed:
        print("make coverage: tests FAILED, see above.", file=sys.stderr)
    # The bar is for all tests together.
    return 1 if failed or (missing and not arguments) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
