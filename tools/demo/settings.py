# SPDX-License-Identifier: GPL-2.0
"""What the user may choose, from the environment."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from tools.guest import drivers, memory
from tools.guest.errors import ToolError

SCENARIOS = ("idle", "dirty-then-free", "fragmented")


@dataclass(frozen=True)
class Settings:
    guest_mib: int
    scenarios: tuple[str, ...]
    drivers: tuple[str, ...]
    # Bytes per second that the migration may use, 0: no limit.
    bandwidth: int


def from_environment() -> Settings:
    return Settings(
        guest_mib=memory.parse_mib(os.environ.get("GUEST_MEM") or "4G"),
        scenarios=_choice("DEMO_SCENARIOS", SCENARIOS),
        drivers=_choice("DEMO_DRIVERS", drivers.ALL),
        bandwidth=_bandwidth(os.environ.get("DEMO_BANDWIDTH") or "125"),
    )


def _choice(name: str, known: Collection[str]) -> tuple[str, ...]:
    """A list separated by commas or blanks; empty means all."""
    wanted = os.environ.get(name, "").replace(",", " ").split()
    unknown = [word for word in wanted if word not in known]
    if unknown:
        raise ToolError(f"{name}: {', '.join(unknown)} is unknown: choose from {', '.join(known)}")
    return tuple(word for word in known if not wanted or word in wanted)


def _bandwidth(text: str) -> int:
    if not text.isdigit():
        raise ToolError(f"DEMO_BANDWIDTH={text!r} is not a number of megabytes per second")
    return int(text) * 1_000_000
