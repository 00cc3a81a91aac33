# SPDX-License-Identifier: GPL-2.0
"""Fixtures of the tests that run guests.

What a test needs and does not find is an error of the test, never a reason to skip it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.guest import console, drivers, paths
from tools.guest.guest import Guest
from tools.guest.machine import Machine


class Guests:
    """Starts guests for one test, and ends and checks them after it."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._started: list[Guest] = []
        self._allowed: list[str] = []

    def start(self, machine: Machine, name: str = "guest", incoming: bool = False) -> Guest:
        """A booted guest, or one that waits for a migration."""
        guest = Guest(machine, self.logs, name, incoming)
        self._started.append(guest)
        if not incoming:
            guest.boot()
        return guest

    def allow(self, pattern: str) -> None:
        """Console lines that match are expected in this test."""
        self._allowed.append(pattern)

    def stop(self) -> None:
        for guest in self._started:
            guest.stop()

    def check(self) -> None:
        console.check([guest.console_log for guest in self._started], self._allowed)


@pytest.fixture
def logs(request: pytest.FixtureRequest) -> Path:
    """build/logs/<test>/, empty."""
    directory = paths.LOGS / re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def guests(logs: Path) -> Iterator[Guests]:
    """A factory of guests; their logs must be clean at the end."""
    factory = Guests(logs)
    try:
        yield factory
    finally:
        factory.stop()
    factory.check()


@pytest.fixture
def plain() -> Machine:
    """A guest with the plain kernel, the C driver and ours."""
    return Machine(kernel=paths.lookup("GUEST_KERNEL"), modules=drivers.plain_modules())


@pytest.fixture
def check() -> Machine:
    """A guest with the check kernel (lockdep and more); our module there has KUnit tests."""
    return replace(
        Machine(kernel=paths.lookup("GUEST_KERNEL_CHECK")),
        modules={drivers.RUST_MODULE: paths.lookup("MODULE_CHECK_KUNIT")},
        deadline=480.0,
    )


@pytest.fixture(params=[drivers.HOLD, drivers.WALK], ids=lambda driver: driver.name)
def ours(request: pytest.FixtureRequest) -> Any:
    """Our driver in each strategy."""
    return request.param
