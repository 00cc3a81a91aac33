# SPDX-License-Identifier: GPL-2.0
"""How busy a guest's CPUs are, as the host sees it: nothing has to run in the guest for it.

Under TCG every CPU is a thread of QEMU, which sleeps when the guest's CPU is idle.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.guest.guest import Guest


@dataclass
class Used:
    # CPU seconds per second, of all the guest's CPUs together.
    share: float = 0.0


@contextmanager
def measured(guest: Guest) -> Iterator[Used]:
    """Fills in the result at the end of the block."""
    used = Used()
    before, start = _seconds(guest), time.monotonic()
    yield used
    used.share = (_seconds(guest) - before) / (time.monotonic() - start)


def _seconds(guest: Guest) -> float:
    threads = [cpu["thread-id"] for cpu in guest.monitor.command("query-cpus-fast")]
    return sum(_ticks(thread) for thread in threads) / os.sysconf("SC_CLK_TCK")


def _ticks(thread: int) -> int:
    # After the name, which may have anything in it: user and system time are fields 14 and 15.
    fields = Path(f"/proc/{thread}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
