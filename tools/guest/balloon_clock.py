# SPDX-License-Identifier: GPL-2.0
"""How long the balloon takes to reach its target, and how often the driver writes its size."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools.guest import balloon, timed_log
from tools.guest.guest import Guest
from tools.guest.timed_log import Line, TimedLog

# For `Machine.trace` and `Machine.extra`.
TRACE = ("virtio_balloon_to_target",)
EXTRA = timed_log.TIMESTAMPS
_ASKED = re.compile(r"num_pages: (\d+)")
_SIZE = re.compile(r"actual: (\d+)")


@dataclass
class Change:
    """One change of the target, from when the host knows it until the driver says it is there."""

    # Of the balloon; None until the host has asked.
    pages: int | None = None
    asked: float = 0.0
    reached: float = 0.0
    config_writes: int = 0

    @property
    def ms(self) -> float:
        return (self.reached - self.asked) * 1000

    def see(self, line: Line) -> bool:
        """Whether the balloon is there with this line."""
        if line.event == "virtio_balloon_to_target" and (match := _ASKED.search(line.text)):
            self.pages, self.asked, self.config_writes = int(match[1]), line.time, 0
        elif line.event == "virtio_balloon_set_config" and self.pages is not None:
            match = _SIZE.match(line.text)
            self.config_writes += 1
            if match and int(match[1]) == self.pages:
                self.reached = line.time
                return True
        return False


def timed(guest: Guest, remaining_mib: int, deadline: float = 300.0) -> Change:
    """Has the balloon change until so much remains to the guest, and waits for it."""
    log = TimedLog(guest.trace_log)
    change = Change()
    balloon.set_remaining(guest, remaining_mib)
    timed_log.wait(guest, log, change.see, f"get to {remaining_mib} MiB", deadline)
    return change
