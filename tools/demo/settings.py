# SPDX-License-Identifier: GPL-2.0
"""What the user may choose, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tools.demo import scenarios
from tools.guest import drivers, memory
from tools.guest.choice import choice
from tools.guest.drivers import Driver
from tools.guest.errors import ToolError


@dataclass(frozen=True)
class Settings:
    guest_mib: int
    scenarios: tuple[str, ...]
    drivers: tuple[str, ...]
    # Bytes per second that the migration may use, 0: no limit.
    bandwidth: int

    def runs(self) -> list[tuple[str, tuple[Driver, ...]]]:
        """The scenarios, and the chosen drivers of each."""
        chosen = [
            (name, tuple(driver for driver in known if driver.name in self.drivers))
            for name, known in scenarios.DRIVERS.items()
            if name in self.scenarios
        ]
        return [(name, found) for name, found in chosen if found]

    @property
    def qemu(self) -> str:
        """Which QEMU it is, for all runs alike: what is compared are the drivers."""
        bitmap = any(driver.bitmap for _, found in self.runs() for driver in found)
        return "QEMU_PATCHED" if bitmap else "QEMU"


def from_environment() -> Settings:
    return Settings(
        guest_mib=memory.parse_mib(os.environ.get("GUEST_MEM") or "4G"),
        scenarios=choice("DEMO_SCENARIOS", scenarios.DRIVERS),
        drivers=choice("DEMO_DRIVERS", drivers.ALL),
        bandwidth=_bandwidth(os.environ.get("DEMO_BANDWIDTH") or "125"),
    )


def _bandwidth(text: str) -> int:
    if not text.isdigit():
        raise ToolError(f"DEMO_BANDWIDTH={text!r} is not a number of megabytes per second")
    return int(text) * 1_000_000
