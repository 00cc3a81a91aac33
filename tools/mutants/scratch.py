# SPDX-License-Identifier: GPL-2.0
"""A copy of the tree, in which modules are built and tests are run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from tools.guest.errors import ToolError
from tools.mutants import process

_TARGETS = ("module-check", "module-check-kunit")
_BUILD_S = 300.0
# What pytest says when all tests passed, and when some did not.
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True)
class Failure:
    # As pytest names it in its report.
    test: str
    message: str


class DoesNotBuild(Exception):
    """There is no module: the reason."""


class Scratch:
    """The copy. It has build directories of its own, which serve from one mutant to the next."""

    def __init__(self, source: Path, target: Path, logs: Path) -> None:
        self.tree = target
        self._logs = logs
        for name in _files(source):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name, follow_symlinks=False)

    def log(self, name: str, what: str) -> Path:
        """Where the output goes."""
        path = self._logs / name / f"{what}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def build(self, name: str) -> None:
        """Builds the modules, with and without KUnit suites."""
        log = self.log(name, "build")
        try:
            status = process.run(["make", "-j2", *_TARGETS], self.tree, log, _BUILD_S)
        except process.TooLong as error:
            raise DoesNotBuild(str(error)) from None
        if status:
            raise DoesNotBuild(_reason(log))

    def test(self, name: str, tests: list[str], deadline: float) -> list[Failure]:
        """Runs tests until one fails; returns what failed."""
        log = self.log(name, "test")
        report = log.with_suffix(".xml")
        command = [
            sys.executable, "-m", "pytest", "-x", "--tb=short", "-p", "no:cacheprovider",
            "-p", "tools.mutants.impatience", f"--junitxml={report}", *tests,
        ]  # fmt: skip
        status = process.run(command, self.tree, log, deadline)
        if status not in (_PASSED, _FAILED):
            raise ToolError(f"pytest ended with {status}: see {log}")
        failures = _failures(report)
        if bool(failures) != (status == _FAILED):
            raise ToolError(f"pytest ended with {status}, which its report does not say: {report}")
        return failures


def _files(source: Path) -> list[str]:
    """What git tracks or would track, as far as it is there."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ToolError(f"git does not list the tree's files: {done.stderr.strip()}")
    return sorted(name for name in set(done.stdout.split("\0")) if (source / name).is_file())


def _reason(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line.strip() for line in lines if "error" in line.lower()]
    return f"{(errors or lines or ['no output'])[0]} (see {log})"


def _failures(report: Path) -> list[Failure]:
    """What failed in a test or around it."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        for problem in (*case.iter("failure"), *case.iter("error")):
            message = problem.get("message") or problem.text or ""
            found.append(Failure(str(case.get("name")), message))
    return found
