# SPDX-License-Identifier: GPL-2.0
"""Memory sizes: parsing, and whether the host has enough."""

from __future__ import annotations

import re
from pathlib import Path

from tools.guest.errors import ToolError

# What a QEMU process needs beside the guest's memory, with room for the tools.
OVERHEAD_MIB = 512
MIN_GUEST_MIB = 1024


def parse_mib(text: str, name: str = "GUEST_MEM") -> int:
    """`4096`, `4096M` and `4G` are the same size."""
    match = re.fullmatch(r"(\d+)([MG]?)", text.strip(), re.IGNORECASE)
    if not match:
        raise ToolError(f"{name}={text!r} is not a size: use MiB ({name}=4096) or GiB ({name}=4G)")
    mib = int(match[1]) * (1024 if match[2].upper() == "G" else 1)
    if mib < MIN_GUEST_MIB:
        raise ToolError(f"{name}={text} is too small: use at least {MIN_GUEST_MIB} MiB")
    return mib


def host_available_mib() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise ToolError("/proc/meminfo has no MemAvailable line: this needs Linux")


def require_host_memory(guest_mib: int, guests: int = 2, name: str = "GUEST_MEM") -> None:
    """A migration pair may need the guest's memory twice. `name` is what the user can set."""
    need = guests * (guest_mib + OVERHEAD_MIB)
    have = host_available_mib()
    if have < need:
        fits = max(MIN_GUEST_MIB, have // guests - OVERHEAD_MIB)
        who = "a guest" if guests == 1 else f"{guests} guests"
        raise ToolError(
            f"{who} of {guest_mib} MiB: that takes {need} MiB of host memory, {have} MiB are"
            f" available: close something or set {name}={fits}"
        )
