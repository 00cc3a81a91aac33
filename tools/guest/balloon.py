# SPDX-License-Identifier: GPL-2.0
"""Inflates and deflates a guest's balloon from the host, and says how far it is.

QEMU speaks of what *remains* to the guest: `balloon` sets that size, and `query-balloon` calls
what the driver has reached so far "actual". Both are the guest's memory less the balloon.
"""

from __future__ import annotations

import time

from tools.guest import console, drivers, patience
from tools.guest.errors import ToolError
from tools.guest.guest import Guest

MIB = 1 << 20
PAGE = 4096
_POLL_S = 0.05
_COUNTERS = "/sys/kernel/debug/virtio_balloon_rs-*/balloon"


def set_remaining_bytes(guest: Guest, size: int) -> None:
    """Asks the guest to keep `size` bytes and give all others away; returns at once."""
    guest.monitor.command("balloon", value=size)


def set_remaining(guest: Guest, mib: int) -> None:
    set_remaining_bytes(guest, mib * MIB)


def deflate(guest: Guest) -> None:
    """Asks the guest to take everything back; returns at once."""
    set_remaining(guest, guest.machine.memory_mib)


def actual_bytes(guest: Guest) -> int:
    """What remains to the guest by the driver's own account."""
    size = guest.monitor.command("query-balloon")["actual"]
    assert isinstance(size, int)
    return size


def actual_mib(guest: Guest) -> float:
    return actual_bytes(guest) / MIB


def inflated_pages(guest: Guest) -> int:
    """Pages of 4 KiB that the driver says are in the balloon."""
    return guest.machine.memory_mib * MIB // PAGE - actual_bytes(guest) // PAGE


def wait_for_actual(guest: Guest, mib: int, deadline: float = 180.0) -> None:
    """Returns when exactly `mib` remain to the guest."""
    end = patience.until(deadline)
    while (actual := actual_bytes(guest)) != mib * MIB:
        if time.monotonic() > end:
            raise ToolError(
                f"{guest.name}: {actual / MIB:.2f} MiB remain to the guest after {deadline:.0f} s,"
                f" not {mib}\n{console.tail(guest.console_log)}"
            )
        time.sleep(_POLL_S)


def wait_for_pages(guest: Guest, least: int, deadline: float = 60.0) -> None:
    """Returns when the balloon has `least` pages or more."""
    end = patience.until(deadline)
    while (pages := inflated_pages(guest)) < least:
        if time.monotonic() > end:
            raise ToolError(
                f"{guest.name}: {pages} pages are in the balloon after {deadline:.0f} s, "
                f"not {least}\n{console.tail(guest.console_log)}"
            )
        time.sleep(_POLL_S)


def stop_midway(guest: Guest, mib: int, attempts: int = 10) -> None:
    """Sets the target and stops the guest's CPUs while the balloon is on its way there.

    How fast that goes is up to the machine, so a guest that had arrived before it could be
    stopped is sent back and tried again.
    """
    start = actual_bytes(guest)
    for _ in range(attempts):
        set_remaining(guest, mib)
        eighth = abs(start - mib * MIB) // 8
        end = patience.until(60)
        while abs(actual_bytes(guest) - start) < eighth:
            if time.monotonic() > end:
                raise ToolError(f"{guest.name}: the balloon does not move")
        guest.stand_still()
        if actual_bytes(guest) != mib * MIB:
            return
        guest.cont()
        inflate_to(guest, start // MIB)
    raise ToolError(f"{guest.name}: could not be stopped on the way to {mib} MiB")


def inflate_to(guest: Guest, mib: int, deadline: float = 180.0) -> None:
    """Sets the target and waits until it is reached."""
    set_remaining(guest, mib)
    wait_for_actual(guest, mib, deadline)


def deflate_all(guest: Guest, deadline: float = 180.0) -> None:
    inflate_to(guest, guest.machine.memory_mib, deadline)


def counters(guest: Guest) -> dict[str, int | str]:
    """What the Rust driver counted for the balloon."""
    return drivers.counters(guest, _COUNTERS)


def counter(guest: Guest, name: str) -> int:
    return drivers.counter(guest, name, _COUNTERS)
