# SPDX-License-Identifier: GPL-2.0
"""Whether a guest has the memory that it had before the sessions."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from tools.guest import hinting
from tools.guest.guest import Guest

KERNEL_PARAMETER = "kmemleak=on"
_KMEMLEAK = "/sys/kernel/debug/kmemleak"
# kmemleak reports what it finds twice, and nothing younger than 5 s.
_SCANS = 2
_AGE_S = 6.0
_DEADLINE = 200.0
# How much the guest's own bookkeeping may grow, in KiB.
FREE_TOLERANCE_KIB = 6144
SLAB_TOLERANCE_KIB = 4096
# KASAN holds back up to a 32nd of the memory that was freed, and keeps stack traces.
KASAN_TOLERANCE_KIB = 49_152


@dataclass(frozen=True)
class Memory:
    total_kib: int
    free_kib: int
    slab_kib: int


def measure(guest: Guest) -> Memory:
    guest.agent.run("sync; echo 3 > /proc/sys/vm/drop_caches", _DEADLINE)
    found = guest.agent.meminfo()
    return Memory(found["MemTotal"], hinting.free_kib(guest), found["Slab"])


def forget(guest: Guest) -> None:
    """What was lost until now is not ours."""
    guest.agent.run(f"echo scan > {_KMEMLEAK}; echo clear > {_KMEMLEAK}", _DEADLINE)


def missing(guest: Guest, before: Memory) -> str:
    """What is not as it was, in words; empty if nothing."""
    spare = KASAN_TOLERANCE_KIB if guest.machine.kasan else 0
    now = measure(guest)
    if now.total_kib != before.total_kib:
        return f"MemTotal is {now.total_kib} KiB, it was {before.total_kib}"
    if now.free_kib < before.free_kib - FREE_TOLERANCE_KIB - spare:
        return f"{now.free_kib} KiB are free, {before.free_kib} were"
    if now.slab_kib > before.slab_kib + SLAB_TOLERANCE_KIB + spare:
        return f"Slab is {now.slab_kib} KiB, it was {before.slab_kib}"
    return _unreferenced(guest)


def _unreferenced(guest: Guest) -> str:
    for _ in range(_SCANS):
        time.sleep(_AGE_S)
        guest.agent.run(f"echo scan > {_KMEMLEAK}", _DEADLINE)
    found = guest.agent.read(_KMEMLEAK)
    objects = re.findall(r"^unreferenced object .*$", found, re.MULTILINE)
    if not objects:
        return ""
    return f"kmemleak found {len(objects)} lost objects; the first:\n{_first(found)}"


def _first(report: str) -> str:
    return "unreferenced object " + report.split("unreferenced object ")[1].rstrip()
