# SPDX-License-Identifier: GPL-2.0
"""Hinting in guests that zero what they allocate, as those of most distributions do.

Nothing runs in the guests. GUEST_MEM=8G makes them larger; their memory is hardly touched unless
the driver does.
"""

import os
from dataclasses import replace

from tools.guest import drivers, hinting, memory, migration

MEMORY_MIB = memory.parse_mib(os.environ.get("GUEST_MEM") or "2G")
# What QEMU and the guest themselves may touch meanwhile.
SLACK_KIB = 48 << 10
# Two runs are never quite the same: how far the host is when it hears of a block varies.
MORE = 1.1


def _migrate(guests, machine, driver, zeroes):
    """Moves an idle guest to nowhere, slowly until the guest has told all that is free; returns
    what was scanned and sent, in pages, and how much memory QEMU got for that, in KiB."""
    append = (f"init_on_alloc={int(zeroes)}",)
    guest = guests.start(
        replace(machine, memory_mib=MEMORY_MIB, append=append), f"{driver.name}-{int(zeroes)}"
    )
    driver.load(guest)
    resident = guest.resident_kib()
    hinting.start(guest)
    hinting.wait_until(lambda: guest.hint_traffic().ids >= 2, "the driver ends its round", 240)
    migration.set_limits(guest)
    info = migration.wait(guest, 180)
    assert info["status"] == "completed"
    sent = info["ram"]["normal"]
    scanned = sent + info["ram"]["duplicate"]
    growth = guest.resident_kib() - resident
    guest.stop()
    print(
        f"{driver.name}, init_on_alloc={int(zeroes)}: scanned {scanned}, sent {sent},"
        f" {resident} KiB resident and {growth} more, {info['total-time']} ms"
    )
    return scanned, sent, growth


def test_isolating_zeroes_nothing(guests, machine):
    scanned, sent, growth = _migrate(guests, machine, drivers.ISOLATE, True)
    scanned_without, sent_without, _ = _migrate(guests, machine, drivers.ISOLATE, False)
    assert scanned <= MORE * scanned_without
    assert sent <= MORE * sent_without
    assert growth < SLACK_KIB


def test_allocating_zeroes_it_all(guests, machine):
    """The control: it does show."""
    scanned, _, growth = _migrate(guests, machine, drivers.C, True)
    assert scanned > MEMORY_MIB << 7
    assert growth > MEMORY_MIB << 9
