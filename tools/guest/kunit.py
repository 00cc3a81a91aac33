# SPDX-License-Identifier: GPL-2.0
"""Runs KUnit suites in a guest.

What came of them is read from the kernel's log: there may be no debugfs, and suites that run at
boot are in it as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tools.guest import drivers, ktap
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.ktap import Suite
from tools.guest.machine import Machine
from tools.guest.paths import ROOT

_STAMP = re.compile(r"^\[ *\d+\.\d+\] ", re.MULTILINE)
_END = "all suites have run"
# Suites that a kernel without this has not.
_NEEDS = {"rust_virtio_balloon_mock_suspend": "CONFIG_PM_SLEEP"}
# Of tools/kernel/patches; it runs at boot.
_OF_PATCHES = ("balloon", "CONFIG_BALLOON_KUNIT_TEST")


def machine(like: Machine, module: Path, deadline: float = 900.0) -> Machine:
    """A machine for the suites, with the module that has them."""
    return replace(
        like,
        modules={drivers.RUST_MODULE: module},
        append=("kunit.enable=1", "kunit.autorun=1"),
        balloon=None,
        memory_mib=2048,
        deadline=deadline,
    )


@dataclass(frozen=True)
class Results:
    suites: list[Suite]
    # What the guest's log has from the module's loading on.
    log: str

    @property
    def passed(self) -> int:
        return sum(suite.passed for suite in self.suites)

    @property
    def skipped(self) -> int:
        return sum(suite.skipped for suite in self.suites)

    def check(self, required: Iterable[str] = ()) -> None:
        """Raises if a case failed, or one of the `required` suites did not run."""
        bad = [f"{suite.name}: {case}" for suite in self.suites for case in suite.failed]
        if bad:
            raise ToolError(f"KUnit: {', '.join(bad)} failed\n{ktap.complaints(self.log)}")
        ran = {suite.name for suite in self.suites if suite.passed + suite.skipped}
        if missing := sorted(set(required) - ran):
            raise ToolError(f"KUnit: {', '.join(missing)} did not run")
        if not ran:
            raise ToolError("KUnit: no suite ran")


def run(guest: Guest, deadline: float = 600.0) -> Results:
    """Loads the module, whose suites run then. Those that ran when the guest booted come first."""
    before = len(guest.log())
    guest.insmod(drivers.RUST_MODULE, deadline=deadline)
    guest.agent.run(f"echo {_END} > /dev/kmsg")
    guest.wait_for_log(_END)
    log = guest.log()
    return Results(in_log(log), _STAMP.sub("", log[before:]))


def in_log(log: str) -> list[Suite]:
    """What KUnit says in the kernel's log, which has the time before each line."""
    return ktap.parse(_STAMP.sub("", log))


def in_source() -> set[str]:
    """The names of all suites of the module."""
    found = set()
    for folder in ("rust", "drivers"):
        for path in (ROOT / folder).rglob("*.rs"):
            found.update(re.findall(r"kunit_tests\((\w+)\)\]", path.read_text()))
    return found


def required(tree: Path) -> set[str]:
    """The suites that have to run on the kernel that was built in `tree`."""
    options = set((tree / ".config").read_text().splitlines())
    absent = {name for name, option in _NEEDS.items() if f"{option}=y" not in options}
    name, option = _OF_PATCHES
    return in_source() - absent | ({name} if f"{option}=y" in options else set())
