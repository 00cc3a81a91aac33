# SPDX-License-Identifier: GPL-2.0
"""The guest's memory zones: what each has free, and what the kernel wants it to keep."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools.guest.errors import ToolError
from tools.guest.guest import Guest


@dataclass(frozen=True)
class Zone:
    """All numbers are pages."""

    name: str
    # What the zone counts as free, without the CPUs' own lists.
    free: int
    high_watermark: int
    # What its free lists have.
    listed: int


def read(guest: Guest) -> list[Zone]:
    """All zones that have memory, as they are at about the same moment."""
    lists, _, zones = guest.agent.run("cat /proc/buddyinfo; echo; cat /proc/zoneinfo").partition(
        "\n\n"
    )
    listed = {}
    for line in lists.splitlines():
        # Node 0, zone   Normal   1   2 ...
        _, node, _, name, *counts = line.split()
        pages = sum(int(count) << order for order, count in enumerate(counts))
        listed[f"{node} {name}"] = pages
    found = []
    for text in zones.split("Node ")[1:]:
        # 0, zone   Normal
        node, _, name = text.partition("\n")[0].split()
        # Those without memory are not in the other file.
        pages = listed.get(f"{node} {name}")
        if pages is not None:
            free, high = _number(text, "pages free"), _number(text, "high")
            found.append(Zone(name, free, high, pages))
    return found


def _number(text: str, name: str) -> int:
    match = re.search(rf"^ +{name} +(\d+)$", text, re.MULTILINE)
    if not match:
        raise ToolError(f"/proc/zoneinfo has no {name}")
    return int(match[1])
