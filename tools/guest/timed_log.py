# SPDX-License-Identifier: GPL-2.0
"""QEMU's trace log with the time of each line, by QEMU's own clock.

So what is measured is neither longer nor shorter because somebody looks at it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.guest import console, growing_log, patience
from tools.guest.errors import ToolError
from tools.guest.growing_log import GrowingLog
from tools.guest.guest import Guest

# For `Machine.extra`: without it lines have no time.
TIMESTAMPS = ("-msg", "timestamp=on")
_LINE = re.compile(r"^\d+@(\d+\.\d+):(\w+) ?(.*)$")
_POLL_S = 0.01


@dataclass(frozen=True)
class Line:
    # Seconds since 1970.
    time: float
    event: str
    text: str


def parse(line: str) -> Line | None:
    """None if it is no trace event, or has no time."""
    match = _LINE.match(line)
    return Line(float(match[1]), match[2], match[3]) if match else None


class TimedLog:
    """Reads what was added to a log since the last time."""

    def __init__(self, path: Path) -> None:
        self._log = GrowingLog(path, growing_log.size(path))

    def read(self) -> Iterator[Line]:
        for line in self._log.lines():
            if found := parse(line):
                yield found


def wait(
    guest: Guest, log: TimedLog, seen: Callable[[Line], bool], what: str, deadline: float
) -> None:
    """Shows `seen` all new lines, and returns when it is content with one."""
    end = patience.until(deadline)
    while not any(seen(line) for line in log.read()):
        if time.monotonic() > end:
            raise ToolError(
                f"{guest.name}: the guest did not {what} within {deadline:.0f} s\n"
                f"{console.tail(guest.console_log)}"
            )
        time.sleep(_POLL_S)
