# SPDX-License-Identifier: GPL-2.0
"""What a round costs on an idle guest, next to the C driver."""

from dataclasses import replace

from tools.guest import drivers, hinting


def _round(guests, machine, driver):
    guest = guests.start(machine, driver.name)
    driver.load(guest)
    traffic = hinting.one_round(guest)
    kicks = drivers.counter(guest, "notifications") if driver.is_rust else None
    guest.stop()
    print(f"{driver.name}: {traffic}, notifications counted in the guest: {kicks}")
    return traffic, kicks


def test_walk_needs_a_hundredth(guests, machine):
    machine = replace(machine, memory_mib=4096)
    theirs, _ = _round(guests, machine, drivers.C)
    walk, walk_kicks = _round(guests, machine, drivers.WALK)
    hold, hold_kicks = _round(guests, machine, drivers.HOLD)

    assert 100 * walk.elements <= theirs.elements
    assert hold.elements < theirs.elements
    # While QEMU reads the queue it asks for no notifications, so hardly any reaches it from
    # either driver; the C driver asks for one with every element.
    assert 100 * walk_kicks <= theirs.elements
    assert hold_kicks < theirs.elements
    assert walk.notifications <= walk_kicks
