# SPDX-License-Identifier: GPL-2.0
"""The balloon's statistics as the host sees them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tools.guest import patience
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import BALLOON_ID

_DEVICE = f"/machine/peripheral/{BALLOON_ID}"
# QEMU shows a value that the guest did not send as -1.
_UNSET = {-1, (1 << 64) - 1}


@dataclass(frozen=True)
class Reading:
    # Seconds since 1970 on the host; 0 before the first report.
    last_update: int
    # QEMU's name of the tag without `stat-`; only tags that the guest sent.
    values: dict[str, int]


def poll(guest: Guest, seconds: int) -> None:
    """Makes QEMU ask for statistics every so many seconds; 0 switches it off."""
    guest.monitor.command(
        "qom-set", path=_DEVICE, property="guest-stats-polling-interval", value=seconds
    )


def read(guest: Guest) -> Reading:
    """The last report, however old."""
    answer = guest.monitor.command("qom-get", path=_DEVICE, property="guest-stats")
    values = {
        name.removeprefix("stat-"): value
        for name, value in answer["stats"].items()
        if value not in _UNSET
    }
    return Reading(answer["last-update"], values)


def wait_for_update(guest: Guest, after: int, deadline: float = 60.0) -> Reading:
    """Returns the first report that is younger than `after`; polling must be on."""
    end = patience.until(deadline)
    while (reading := read(guest)).last_update <= after:
        if time.monotonic() > end:
            raise ToolError(f"{guest.name}: no new statistics within {deadline:.0f} s")
        time.sleep(0.05)
    return reading


def fresh(guest: Guest, deadline: float = 60.0) -> Reading:
    """A report that was collected after this was called. Switches polling on and off.

    The first new report may answer a question that QEMU had asked before; the one after it does
    not.
    """
    poll(guest, 1)
    first = wait_for_update(guest, read(guest).last_update, deadline)
    second = wait_for_update(guest, first.last_update, deadline)
    poll(guest, 0)
    return second
