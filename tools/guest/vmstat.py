# SPDX-License-Identifier: GPL-2.0
"""The kernel's event counters."""

from __future__ import annotations

from tools.guest.errors import ToolError
from tools.guest.guest import Guest


def event(guest: Guest, name: str) -> int:
    """How often it has happened since the guest was booted."""
    for line in guest.agent.read("/proc/vmstat").splitlines():
        found, _, count = line.partition(" ")
        if found == name:
            return int(count)
    raise ToolError(f"{guest.name}: /proc/vmstat has no {name}")
