# SPDX-License-Identifier: GPL-2.0
"""How much memory a QEMU process has on the host.

The guest's memory is anonymous memory of QEMU's, and all but some tens of megabytes of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tools.guest.errors import ToolError


@dataclass(frozen=True)
class Resident:
    kib: int
    # Of that, in huge pages.
    huge_kib: int


def read(pid: int) -> Resident:
    # Not `status`: its RssAnon is made of counters that lag behind by some pages for each thread.
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return Resident(_field(text, "Anonymous"), _field(text, "AnonHugePages"))


def _field(text: str, name: str) -> int:
    match = re.search(rf"^{name}: +(\d+) kB$", text, re.MULTILINE)
    if not match:
        raise ToolError(f"smaps_rollup has no {name}: this needs Linux 4.14 or newer")
    return int(match[1])
