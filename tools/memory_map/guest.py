# SPDX-License-Identifier: GPL-2.0
"""Draws a guest's memory before and after it was fragmented, in two ways.

    python -m tools.memory_map.guest
"""

from __future__ import annotations

import sys

from tools.demo import scenarios
from tools.guest import agent_build, console, paths, samples
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import Machine
from tools.memory_map import dump, picture
from tools.memory_map.__main__ import OUTPUT

MEMORY_MIB = 2048
# Of these, every second block is freed: a huge page, a page.
COARSE_MIB, COARSE_BLOCK = 896, 2 << 20
FINE_MIB, FINE_BLOCK = 512, 4096
TITLES = ("before", "after")


def _fragment(guest: Guest) -> None:
    agent, deadline = guest.agent, scenarios.FILL_DEADLINE
    agent.call("fill", deadline, name="coarse", mib=COARSE_MIB, seed=1, huge=True, in_order=True)
    agent.call("fill", deadline, name="fine", mib=FINE_MIB, seed=2, in_order=True)
    agent.call("thin", name="coarse", block=COARSE_BLOCK)
    agent.call("thin", name="fine", block=FINE_BLOCK)
    scenarios.settle(guest)


def dumps() -> list[str]:
    """What a guest shows once it is up, and once its memory is fragmented."""
    machine = Machine(
        kernel=paths.kernel("plain"),
        modules=samples.modules("plain"),
        memory_mib=MEMORY_MIB,
        balloon=None,
    )
    with Guest(machine, paths.LOGS / "memory-map", "guest") as guest:
        guest.boot()
        guest.insmod(samples.FREE_BLOCKS)
        scenarios.keep_cpu_lists_short(guest)
        found = [samples.free_blocks_text(guest)]
        _fragment(guest)
        found.append(samples.free_blocks_text(guest))
        console.check([guest.console_log])
    return found


def main() -> int:
    try:
        agent_build.build()
        files = []
        for title, text in zip(TITLES, dumps(), strict=True):
            path = paths.RESULTS / f"memory-map-{title}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
            files.append((title, path))
        lines = picture.draw([(title, dump.read(path)) for title, path in files], OUTPUT)
    except ToolError as error:
        print(f"memory_map: error: {error}.", file=sys.stderr)
        return 2
    print(*lines, sep="\n")
    for path in (*(path for _, path in files), OUTPUT):
        print(f"Written: {path.relative_to(paths.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
