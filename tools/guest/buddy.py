# SPDX-License-Identifier: GPL-2.0
"""The kernel's own account of its free blocks: the truth that reports are compared with."""

from __future__ import annotations

from collections import Counter

from tools.guest.guest import Guest


def blocks(guest: Guest) -> Counter[int]:
    """Free blocks of all zones together, by order."""
    found: Counter[int] = Counter()
    for line in guest.agent.read("/proc/buddyinfo").splitlines():
        # Node 0, zone   Normal   1   2 ...
        for order, count in enumerate(line.partition("zone")[2].split()[1:]):
            found[order] += int(count)
    return found


def free_blocks(guest: Guest, order: int) -> int:
    """How many free blocks of exactly that size there are, in blocks of it and larger ones."""
    return sum(count << (found - order) for found, count in blocks(guest).items() if found >= order)
