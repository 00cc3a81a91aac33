# SPDX-License-Identifier: GPL-2.0
"""Makes the host ask for hints, without a second guest: a migration to nowhere, so slow that
it only ends when it is cancelled."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tools.guest import migration, patience
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.trace import QueueTraffic

NOWHERE = "exec:cat >/dev/null"
_SLOW = 1 << 20
# What the guest's own bookkeeping (slab, page tables, stacks) may take in the meantime.
TOLERANCE_KIB = 2048


def wait_until(condition: Callable[[], bool], what: str, deadline: float = 30.0) -> None:
    end = patience.until(deadline)
    while not condition():
        if time.monotonic() > end:
            raise ToolError(f"not within {deadline:.0f} s: {what}")
        time.sleep(0.05)


def start(guest: Guest) -> None:
    """Starts the migration; the host asks for hints from now on."""
    migration.set_limits(guest, bandwidth=_SLOW)
    migration.start(guest, NOWHERE)
    migration.wait(guest, 10, {"active"})


def scatter_free_memory(guest: Guest, mib: int) -> None:
    """Makes every second 4 KiB page of `mib` free, so that a round down to order 0 takes long."""
    guest.agent.call("fill", 120, name="scattered", mib=mib, seed=99)
    guest.agent.call("thin", name="scattered", block=4096)


@contextmanager
def round_done(guest: Guest, deadline: float = 60.0) -> Iterator[QueueTraffic]:
    """One whole round of hints; until the end of the block the host does not say DONE."""
    before = guest.hint_traffic()
    start(guest)
    try:
        # The driver opens a round with an id and closes it with another.
        wait_until(
            lambda: (guest.hint_traffic() - before).ids >= 2, "the driver ends its round", deadline
        )
        yield guest.hint_traffic() - before
    finally:
        migration.cancel(guest)


def one_round(guest: Guest) -> QueueTraffic:
    with round_done(guest) as traffic:
        return traffic


def free_kib(guest: Guest) -> int:
    """All free memory: that of the zones, and the free pages that lie in the CPUs' own lists.

    Without the latter, megabytes of huge pages come and go unseen when they are freed. The kernel
    holds a zone's lock while it prints both, so that what goes from one to the other counts once.
    """
    zones = guest.agent.read("/proc/zoneinfo")
    pages = _sum(zones, "pages free") + _sum(zones, "count:")
    return pages * guest.machine.platform.page_kib


def cpu_lists_kib(guest: Guest) -> int:
    """Free pages that lie in the CPUs' own lists."""
    zones = guest.agent.read("/proc/zoneinfo")
    return _sum(zones, "count:") * guest.machine.platform.page_kib


def _sum(zones: str, name: str) -> int:
    found = re.findall(rf"^ *{name} +(\d+)$", zones, re.MULTILINE)
    return sum(int(pages) for pages in found)


def wait_for_free(guest: Guest, kib: int, deadline: float = 20.0) -> None:
    """Waits until the guest has as much free memory as `kib`, or nearly; else something leaked."""
    tolerance = TOLERANCE_KIB
    if guest.machine.kasan:
        # KASAN holds back up to a 32nd of the memory that was freed, and keeps stack traces.
        tolerance += guest.machine.memory_mib * 1024 // 32 + 8192
    end = patience.until(deadline)
    while (free := free_kib(guest)) < kib - tolerance:
        if time.monotonic() > end:
            raise ToolError(
                f"{guest.name} has {free} KiB free, it had {kib}: {kib - free} KiB leaked"
            )
        time.sleep(0.2)
