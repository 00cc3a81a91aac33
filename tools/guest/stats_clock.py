# SPDX-License-Identifier: GPL-2.0
"""How long the driver takes to answer when the host asks for statistics.

The host asks by returning the driver's buffer, and the driver answers with a new one. QEMU would
ask once a second at most, but it does so at once when polling is switched on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tools.guest import stats, timed_log, trace
from tools.guest.guest import Guest
from tools.guest.timed_log import Line, TimedLog

# For `Machine.trace` and `Machine.extra`.
TRACE = trace.INTERRUPTS
EXTRA = timed_log.TIMESTAMPS
_QUEUE = re.compile(r"vdev \S+ n (\d+) vq (\S+)")
_INTERRUPT = re.compile(r"vdev \S+ vq (\S+)")


@dataclass
class Refresh:
    asked: float = 0.0
    answered: float = 0.0
    # The last interrupt of each queue; which one is that of statistics is seen with the answer.
    _interrupts: dict[str, float] = field(default_factory=dict)

    @property
    def ms(self) -> float:
        return (self.answered - self.asked) * 1000

    def see(self, line: Line) -> bool:
        """Whether this line is the answer."""
        if line.event == "virtio_notify" and (match := _INTERRUPT.match(line.text)):
            self._interrupts[match[1]] = line.time
        elif line.event == "virtio_queue_notify" and (match := _QUEUE.match(line.text)):
            asked = self._interrupts.get(match[2])
            if int(match[1]) == trace.STATISTICS_QUEUE and asked is not None:
                self.asked, self.answered = asked, line.time
                return True
        return False


def refresh(guest: Guest, deadline: float = 60.0) -> Refresh:
    """Asks once, and waits for the answer."""
    log = TimedLog(guest.trace_log)
    found = Refresh()
    stats.poll(guest, 0)
    stats.poll(guest, 1)
    timed_log.wait(guest, log, found.see, "send statistics", deadline)
    return found
