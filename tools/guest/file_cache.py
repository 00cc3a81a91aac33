# SPDX-License-Identifier: GPL-2.0
"""Fills a guest's page cache with clean pages that are not zero, and looks whether they are right.

The pages are those of block devices, so no file system is needed. All disks have the same content:
one file on the host is enough.
"""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

from tools.guest import paths
from tools.guest.guest import Guest

MIB = 1 << 20
# What is compared of each disk; another part of each.
_SAMPLE_MIB = 16


def disk(mib: int) -> Path:
    """A file of that size without any page of zeroes; made once."""
    target = paths.BUILD / "guest" / f"cache-{mib}.raw"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        numbers = random.Random(mib)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        with partial.open("wb") as file:
            for _ in range(mib):
                file.write(numbers.randbytes(MIB))
        partial.replace(target)
    return target


def fill(guest: Guest, deadline: float = 300.0) -> None:
    """Reads all disks. They stay open, because the last one to close a device drops its pages."""
    guest.agent.run(
        "for disk in /dev/vd?; do"
        " sleep 1000000 < $disk > /dev/null 2>&1 &"
        " dd if=$disk of=/dev/null bs=1M 2> /dev/null || exit; done",
        deadline,
    )


def keep_reading(guest: Guest) -> None:
    """Reads all disks again and again, so that there is always something to drop."""
    guest.agent.run(
        "for disk in /dev/vd?; do"
        " (while dd if=$disk of=/dev/null bs=256k; do sleep 0.1; done) > /dev/null 2>&1 & done"
    )


def cached_kib(guest: Guest) -> int:
    """What the pages of the block devices take. The kernel calls them buffers."""
    return guest.agent.meminfo()["Buffers"]


def check(guest: Guest, deadline: float = 300.0) -> tuple[int, int]:
    """Compares a part of every disk; returns how many pages were compared, and how many of them
    are in a part that is wrong."""
    sums = guest.agent.run(
        f"skip=0; for disk in /dev/vd?; do dd if=$disk bs=1M skip=$skip count={_SAMPLE_MIB}"
        f" 2> /dev/null | md5sum; skip=$((skip + {_SAMPLE_MIB}));"
        " test $skip -lt $(($(blockdev --getsize64 $disk) >> 20)) || skip=0; done",
        deadline,
    )
    found = [line.split()[0] for line in sums.splitlines()]
    wrong = 0
    skip = 0
    for path, digest in zip(guest.machine.read_only_disks, found, strict=True):
        with path.open("rb") as file:
            file.seek(skip * MIB)
            sample = file.read(_SAMPLE_MIB * MIB)
        wrong += hashlib.md5(sample, usedforsecurity=False).hexdigest() != digest
        skip = skip + _SAMPLE_MIB
        if skip >= path.stat().st_size // MIB:
            skip = 0
    pages = _SAMPLE_MIB * MIB // 4096
    return len(found) * pages, wrong * pages
