# SPDX-License-Identifier: GPL-2.0
"""Has a guest report its free memory once, and measures what that took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.bench import ring, subjects
from tools.bench.bench import Bench
from tools.bench.ring import Ring
from tools.guest import bitmap, buddy, drivers, growing_log, hinting, migration
from tools.guest.drivers import Driver
from tools.guest.errors import ToolError
from tools.guest.guest import Guest

PAGE = 4096
_DEADLINE = 540.0
_AFTER_S = 0.3
# Bytes per second.
_TRICKLE = 32 << 10


@dataclass(frozen=True)
class Exchange:
    ring: Ring
    # What /proc/buddyinfo had just before, in pages of all orders.
    free_pages: int
    reported_pages: int
    allocated_bytes: int


def ask(guest: Guest, driver: Driver) -> Ring:
    """Returns when the host has the whole answer; what is allocated for it still is.

    The guest needs ring.EXTRA and ring.TRACE.
    """
    start = growing_log.size(guest.trace_log)
    if driver.bitmap:
        bitmap.report(guest, _DEADLINE, order=driver.order)
        # The request's buffer is given to the device again after that; it is part of the traffic.
        time.sleep(_AFTER_S)
    else:
        before = guest.hint_traffic()
        # So slow that the host does not come to the end of memory, and asks again, before the
        # driver has allocated and zeroed it all.
        migration.set_limits(guest, bandwidth=_TRICKLE)
        migration.start(guest, hinting.NOWHERE)
        # A round begins with an id and ends with another.
        hinting.wait_until(
            lambda: (guest.hint_traffic() - before).ids >= 2, "the driver ends its round", _DEADLINE
        )
    return ring.read(guest.trace_log, start, driver.bitmap)


def dismiss(guest: Guest, driver: Driver) -> None:
    """The host says that it is done with the answer, so that the driver gives back what it took."""
    if not driver.bitmap:
        migration.cancel(guest)


def measure(guest: Guest, driver: Driver, at_end: Callable[[], None] = lambda: None) -> Exchange:
    """The first round in a guest; `at_end` is called before the driver gives back anything."""
    free = buddy.free_blocks(guest, 0)
    found = ask(guest, driver)
    at_end()
    pages, allocated = _account(guest, driver, found)
    dismiss(guest, driver)
    return Exchange(found, free, pages, allocated)


def record(bench: Bench, mib: int, subject: str, found: Exchange, prefix: str = "") -> None:
    """What was seen of an exchange from the host."""
    seen = found.ring
    for metric, unit, value in (
        ("time", "ms", seen.ms),
        ("notifications", "", seen.notifications),
        ("elements", "", seen.elements),
        ("descriptors", "", seen.descriptors),
        ("bytes in the ring", "bytes", seen.bytes),
        ("allocated", "bytes", found.allocated_bytes),
        ("reported", "pages", found.reported_pages),
        ("free", "pages", found.free_pages),
        ("reported share", "%", 100 * found.reported_pages / found.free_pages),
    ):
        bench.record(mib, subject, prefix + metric, unit, value)
    if seen.bitmaps:
        bench.record(mib, subject, f"{prefix}reports", "", len(seen.bitmaps))
        bench.record(mib, subject, f"{prefix}bits", "", seen.bits)


def _account(guest: Guest, driver: Driver, found: Ring) -> tuple[int, int]:
    """Pages that were reported, and bytes that were allocated for that."""
    if driver.bitmap:
        # Of the pieces that the driver has for bitmaps, what the largest report takes.
        return bitmap.query(guest)["last"]["free-bytes"] // PAGE, max(found.bitmaps)
    if not driver.is_rust:
        pages = (found.elements - found.ids) << subjects.C_ORDER
        return pages, pages * PAGE
    counted = drivers.counters(guest)
    return _number(counted, "pages"), _number(counted, "held_pages_max") * PAGE


def _number(counted: dict[str, int | str], name: str) -> int:
    value = counted.get(name)
    if not isinstance(value, int):
        raise ToolError(f"the driver's counters have no {name}: {counted}")
    return value
