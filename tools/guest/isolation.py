# SPDX-License-Identifier: GPL-2.0
"""What the driver isolates, how much of it there may be, and whether it is all there again."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tools.guest import buddy, drivers, hinting, patience, zones
from tools.guest.errors import ToolError
from tools.guest.guest import Guest

_COUNTERS = "/sys/kernel/debug/virtio_balloon_rs-*/isolation"
# What the driver allows itself: of what a zone can spare, pages, and blocks.
_SHARE = 4
_MOST_KIB = 2 << 20
_MOST_BLOCKS = 4096
# The kernel counts free pages for each CPU first: up to 125 in a zone.
_COUNTED_LATER = 256
# Blocks of 2 MiB that the guest itself may break or mend meanwhile.
_FEW_BLOCKS = 6
# Memory that the kernel may find on its own: caches, lists of single pages.
_GROWTH_KIB = 8192


def counters(guest: Guest) -> dict[str, int | str]:
    """What the Rust driver counted for isolation."""
    return drivers.counters(guest, _COUNTERS)


def counter(guest: Guest, name: str) -> int:
    return drivers.counter(guest, name, _COUNTERS)


def bound_kib(guest: Guest, order: int = 9) -> int:
    """The most that may be isolated at once by blocks of that order, as things are."""
    spare = sum(max(zone.free - zone.high_watermark, 0) for zone in zones.read(guest))
    return min(spare * 4 // _SHARE, _MOST_KIB, _MOST_BLOCKS << order << 2)


def wait_until_put_back(guest: Guest) -> None:
    hinting.wait_until(lambda: counter(guest, "pages") == 0, "nothing is isolated")


@dataclass(frozen=True)
class Account:
    """The guest's free memory."""

    free_kib: int
    # Free blocks of 2 MiB, or of what is larger, that many.
    huge_blocks: int


def account(guest: Guest) -> Account:
    """What is free now, in as large blocks as can be."""
    guest.agent.write("/proc/sys/vm/compact_memory", "1")
    return Account(hinting.free_kib(guest), buddy.free_blocks(guest, 9))


def check_adds_up(guest: Guest, before: Account) -> None:
    """Free memory is what it was, and the lists have what is counted."""
    hinting.wait_for_free(guest, before.free_kib)
    after = account(guest)
    end = patience.until(20)
    # Two files, one after the other: what the guest allocates or frees in between is in one only.
    while wrong := [z for z in zones.read(guest) if abs(z.free - z.listed) > _COUNTED_LATER]:
        if time.monotonic() > end:
            raise ToolError(f"{guest.name}: the lists do not have what is free: {wrong}")
        time.sleep(0.2)
    # More than it can have means that something was put back twice.
    grown = after.free_kib - before.free_kib
    if grown > _GROWTH_KIB:
        raise ToolError(f"{guest.name}: more is free than there was: {before}, {after}")


def check_huge_blocks(guest: Guest, before: Account) -> None:
    """There are as many as there were. Not after the guest allocated nearly all its memory."""
    end = patience.until(20)
    while (after := account(guest)).huge_blocks < before.huge_blocks - _FEW_BLOCKS:
        if time.monotonic() > end:
            raise ToolError(f"{guest.name}: huge blocks are missing: {before}, {after}")
        time.sleep(0.2)
