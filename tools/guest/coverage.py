# SPDX-License-Identifier: GPL-2.0
"""Keeps the counters of `make coverage` when a guest ends; without it, does nothing.

The counters are in memory that the guest's kernel leaves alone, at the same place in every guest
(tools/coverage/balloon_coverage.c). So it is enough to read that memory from QEMU once, right
before it ends: reloads, reboots, and migrations to this QEMU are all in it.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tools.guest.errors import ToolError
from tools.guest.machine import Machine
from tools.guest.monitor import Monitor

# Where the counters go: one file for each QEMU. Empty if nothing is measured.
DIRECTORY = os.environ.get("BALLOON_COVERAGE", "")
# The module that keeps them.
_KEEPER = os.environ.get("BALLOON_COVERAGE_KEEPER", "")
_KEEPER_NAME = "balloon_coverage.ko"

# All guests have more memory than this, and their kernels are loaded below it.
_START = 128 << 20
# For each variant of the module, with KUnit and without.
VARIANT_BYTES = 128 << 10
_BYTES = 2 * VARIANT_BYTES

_numbers = itertools.count()


def prepare(machine: Machine) -> Machine:
    """The machine, with a place for the counters, and one that stays when the guest ends itself."""
    if not DIRECTORY:
        return machine
    return replace(
        machine,
        modules={**machine.modules, _KEEPER_NAME: Path(_KEEPER)},
        append=(*machine.append, f"memmap={_BYTES:#x}${_START:#x}"),
        extra=(*machine.extra, "-action", "shutdown=pause"),
    )


def begin(insmod: Callable[[str, str], None]) -> None:
    """To be called when a guest is up and has not loaded the balloon's module yet."""
    if DIRECTORY:
        insmod(_KEEPER_NAME, f"start={_START} size={VARIANT_BYTES}")


def save(monitor: Monitor | None, name: str) -> None:
    """To be called right before QEMU is ended."""
    if not DIRECTORY or monitor is None:
        return
    path = Path(DIRECTORY) / f"{os.getpid()}-{next(_numbers)}-{name}.counters"
    try:
        monitor.command("pmemsave", val=_START, size=_BYTES, filename=str(path))
    except ToolError as error:
        # A guest may be gone when it is stopped, and stopping must not fail.
        print(f"the coverage counters of {name} are lost: {error}", file=sys.stderr)
