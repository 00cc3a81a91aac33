# SPDX-License-Identifier: GPL-2.0
"""Brings a guest into the state in which it is migrated, and verifies it afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tools.guest import drivers, file_cache, hinting
from tools.guest.agent import Agent
from tools.guest.drivers import Driver
from tools.guest.guest import Guest

# Content that is verified afterwards; small beside what is skipped, so that the bytes of the
# drivers stay comparable.
KEPT_MIB = 32
REWRITTEN_MIB = 8
REWRITE_KIB_PER_S = 1024
CHURN_KIB_PER_S = 1024
CHURN_CHUNK_KIB = 256
CHURN_KEEP_MS = 2000
# Memory that stays free when "most" of it is filled.
SPARE_MIB = 256
PAGE = 4096
HUGE_BLOCK = 2 << 20
# In `page-cache`: so many disks of a sixteenth of the guest's memory each.
CACHE_DISKS = 13
CACHE_SHARE = 16
FILL_DEADLINE = 360.0
# Free pages in the CPUs' own lists that are too few to matter.
FEW_KIB = 4096
SETTLE_DEADLINE = 60.0


@dataclass(frozen=True)
class Checked:
    """How many pages were compared on the destination, and how many were wrong."""

    pages: int
    wrong: int
    min_free_kib: int

    @property
    def right(self) -> bool:
        return self.pages > 0 and self.wrong == 0


_HINTING = (drivers.NONE, drivers.C, drivers.HOLD, drivers.WALK)
_BITMAP = (drivers.BITMAP, drivers.BITMAP_DROP)
# Drivers that are as good as another one in a scenario are left out there.
DRIVERS: dict[str, tuple[Driver, ...]] = {
    "idle": (*_HINTING, *_BITMAP),
    "dirty-then-free": (*_HINTING, *_BITMAP),
    "fragmented": (*_HINTING, *_BITMAP),
    "fragmented-4k": (drivers.C, *_BITMAP, drivers.BITMAP_FINE),
    "page-cache": (drivers.C, *_BITMAP),
}


def disks(scenario: str, guest_mib: int) -> tuple[Path, ...]:
    """Disks that the guest has only to read them."""
    if scenario != "page-cache":
        return ()
    return (file_cache.disk(guest_mib // CACHE_SHARE),) * CACHE_DISKS


def prepare(guest: Guest, scenario: str) -> None:
    """Kept memory, and whatever the scenario does with the rest."""
    agent = guest.agent
    keep_cpu_lists_short(guest)
    agent.call("fill", name="kept", mib=KEPT_MIB, seed=1)
    if scenario == "dirty-then-free":
        mib = agent.mem_free_kib() // 1024 - SPARE_MIB
        agent.call("fill", FILL_DEADLINE, name="large", mib=mib, seed=2, huge=True)
        agent.call("drop", name="large")
    elif scenario == "fragmented":
        _fill_in_order(agent, huge=True)
        agent.call("thin", name="large", block=HUGE_BLOCK)
    elif scenario == "fragmented-4k":
        _fill_in_order(agent, huge=False)
        agent.call("thin", name="large", block=PAGE)
    elif scenario == "page-cache":
        file_cache.fill(guest)
    settle(guest)


def _fill_in_order(agent: Agent, huge: bool) -> None:
    """Fills the memory so that what lies side by side for the guest's process does so in memory.

    Else every second block of the process may be two neighbours out of four in memory: there would
    be free blocks of twice the size.
    """
    mib = agent.mem_free_kib() // 1024 - 2 * SPARE_MIB
    agent.call("fill", FILL_DEADLINE, name="large", mib=mib, seed=2, huge=huge, in_order=True)


def settle(guest: Guest) -> None:
    """Waits until hardly any free page is in the CPUs' own lists, once these are kept short."""
    hinting.wait_until(
        lambda: hinting.cpu_lists_kib(guest) < FEW_KIB, "free pages settle", SETTLE_DEADLINE
    )


def keep_cpu_lists_short(guest: Guest) -> None:
    """Lets the CPUs' own lists of free pages hold as little as the kernel allows.

    Otherwise up to 40 MiB for each CPU, more or less by chance, are neither free nor in use when
    the memory was just freed, and the drivers start from different states.
    """
    guest.agent.run("echo 100000000 > /proc/sys/vm/percpu_pagelist_high_fraction")


def start_load(guest: Guest) -> None:
    """What goes on in the guest during the migration."""
    agent = guest.agent
    agent.call("rewrite-start", mib=REWRITTEN_MIB, kib_per_s=REWRITE_KIB_PER_S, seed=3)
    agent.call(
        "churn-start",
        chunk_kib=CHURN_CHUNK_KIB,
        kib_per_s=CHURN_KIB_PER_S,
        keep_ms=CHURN_KEEP_MS,
        seed=4,
    )
    # Until the load is what it will be.
    time.sleep(CHURN_KEEP_MS / 1000)
    agent.call("min-free-start", period_ms=2)


def verify(guest: Guest, scenario: str) -> Checked:
    """To be called on the destination."""
    agent = guest.agent
    agent.ping()
    low = agent.call("min-free-stop")["min_kib"]
    verdicts = [
        agent.call("churn-stop"),
        agent.call("rewrite-stop"),
        agent.call("verify", name="kept"),
    ]
    if scenario.startswith("fragmented"):
        verdicts.append(agent.call("verify", FILL_DEADLINE, name="large"))
    elif scenario == "page-cache":
        pages, wrong = file_cache.check(guest)
        verdicts.append({"pages": pages, "wrong": wrong})
    return Checked(
        pages=sum(verdict["pages"] for verdict in verdicts),
        wrong=sum(verdict["wrong"] for verdict in verdicts),
        min_free_kib=low,
    )
