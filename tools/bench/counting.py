# SPDX-License-Identifier: GPL-2.0
"""Counts the instructions that the guest's kernel executes for something.

The guest's clock goes on by a nanosecond with each instruction (-icount), so the time that the
kernel's threads ran for is the number of their instructions; a string instruction counts once
for each of its rounds. With one CPU nothing is counted that only waits for another CPU, and
runs are the same to a few thousand instructions. Interrupts that find the CPU idle are nobody's
time and are not counted, for any driver.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import Machine

# Without these features of its CPU the kernel clears a page in 512 rounds of a string instruction,
# each of eight bytes, and not in 4096.
_CPU = ("-cpu", "max,erms=off,fsrm=off")
_SPINS = 1_000_000
_PER_SPIN = 2
# The least of some attempts, as there are interrupts; a kernel with debugging takes long for one.
_ATTEMPTS = 3
_TOLERANCE = 0.05
# How long the guest is watched at least, and how often without anything to do.
_WATCH_S = 0.5
_IDLE_WATCHES = 5


def machine(base: Machine) -> Machine:
    """A benchmark's own guest, as one whose instructions are counted."""
    return replace(base, icount=True, cpus=1, extra=(*base.extra, *_CPU))


class Counter:
    """For one guest; it has to be idle when this is made."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        check_clock(guest)
        watches = [self._watch(lambda: None) for _ in range(_IDLE_WATCHES)]
        self._idle = statistics.median(watches)

    def count(self, what: Callable[[], object]) -> float:
        """What the kernel does because of it, without what it does anyway. Not under 0."""
        return max(0.0, self._watch(what) - self._idle)

    def _watch(self, what: Callable[[], object]) -> int:
        before = self._time()
        end = time.monotonic() + _WATCH_S
        what()
        # What goes on in the background is the same in the same time.
        time.sleep(max(0.0, end - time.monotonic()))
        return self._time() - before

    def _time(self) -> int:
        return int(self._guest.agent.call("kernel-time", 120)["ns"])


def check_clock(guest: Guest) -> None:
    """Has the guest execute a loop of known length."""
    ns = min(guest.agent.call("spin", times=_SPINS)["ns"] for _ in range(_ATTEMPTS))
    if abs(ns / (_SPINS * _PER_SPIN) - 1) > _TOLERANCE:
        raise ToolError(
            f"{guest.name}: {_SPINS * _PER_SPIN} instructions took {ns} ns of the guest's clock:"
            " it does not count instructions"
        )
