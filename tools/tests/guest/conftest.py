# SPDX-License-Identifier: GPL-2.0
"""Fixtures of the tests that run guests.

What a test needs and does not find is an error of the test, never a reason to skip it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.guest import console, drivers, paths, platform
from tools.guest.guest import Guest
from tools.guest.machine import Machine


class Guests:
    """Starts guests for one test or one file of tests, and ends and checks them after it."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._started: list[Guest] = []
        self._allowed: list[str] = []

    def start(
        self, machine: Machine, name: str = "guest", incoming: bool = False, paused: bool = False
    ) -> Guest:
        """A booted guest, or one that waits for a migration or for `cont()` and `boot()`."""
        guest = Guest(machine, self.logs, name, incoming, paused)
        self._started.append(guest)
        if not incoming and not paused:
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


def _empty_logs(request: pytest.FixtureRequest, name: str) -> Path:
    directory = paths.LOGS / request.path.stem / re.sub(r"[^\w.-]+", "-", name).strip("-")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _checked(factory: Guests) -> Iterator[Guests]:
    try:
        yield factory
    finally:
        factory.stop()
    factory.check()


@pytest.fixture
def logs(request: pytest.FixtureRequest) -> Path:
    """build/logs/<file>/<test>/, empty."""
    return _empty_logs(request, request.node.name)


@pytest.fixture
def guests(logs: Path) -> Iterator[Guests]:
    """A factory of guests; their logs must be clean at the end."""
    yield from _checked(Guests(logs))


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest) -> Iterator[Guests]:
    """The same for guests that all tests of a file use, one after the other."""
    yield from _checked(Guests(_empty_logs(request, "shared")))


@pytest.fixture(scope="session")
def flavour(request: pytest.FixtureRequest) -> str:
    """The guests' kernel: `check`, or what --flavour says."""
    return str(request.config.getoption("--flavour"))


@pytest.fixture(scope="session")
def machine(flavour: str) -> Machine:
    """A guest with the check kernel (or what --flavour says), the C driver and ours."""
    return Machine(
        kernel=paths.kernel(flavour),
        platform=platform.of(flavour),
        modules=drivers.modules(flavour),
        kasan=flavour == "kasan",
        deadline=480.0,
    )


@pytest.fixture
def driver(request: pytest.FixtureRequest) -> drivers.Driver:
    """Our driver, or what --driver says: with `c` a scenario can be run as a control."""
    return drivers.ALL[request.config.getoption("--driver")]


@pytest.fixture(
    params=[drivers.HOLD, drivers.WALK, drivers.ISOLATE], ids=lambda driver: driver.name
)
def ours(request: pytest.FixtureRequest) -> drivers.Driver:
    """Our driver in each strategy."""
    return request.param


@pytest.fixture(params=[drivers.HOLD, drivers.WALK], ids=lambda driver: driver.name)
def not_isolating(request: pytest.FixtureRequest) -> drivers.Driver:
    """The same where test_isolate.py and test_isolate_lifecycle.py have it quicker for isolate."""
    return request.param
