# SPDX-License-Identifier: GPL-2.0
"""One round of hinting in each strategy."""

from dataclasses import replace

import pytest

from tools.guest import drivers, hinting


@pytest.mark.arm64
def test_round(guests, machine, not_isolating):
    ours = not_isolating
    guest = guests.start(machine)
    ours.load(guest)
    agent = guest.agent
    agent.call("min-free-start", period_ms=2)
    free, total = agent.mem_free_kib(), hinting.free_kib(guest)

    with hinting.round_done(guest) as traffic:
        counted = drivers.counters(guest)
        assert counted["strategy"] == ours.name.removeprefix("rust-")
        assert counted["requests"] == counted["completed"] == 1
        assert counted["elements"] == traffic.elements
        assert traffic.notifications <= counted["notifications"]
        # Pages that are free at or above the target order: nearly all of an idle guest's.
        assert counted["pages"] * machine.platform.page_kib >= 0.9 * free
        if ours is drivers.HOLD:
            assert counted["held_pages"] == counted["pages"]
            assert counted["allocated_blocks"] > 0
        else:
            assert counted["held_pages"] == counted["allocated_blocks"] == 0

    hinting.wait_for_free(guest, total)
    hinting.wait_until(lambda: drivers.counter(guest, "held_pages") == 0, "nothing is held")
    lowest = agent.call("min-free-stop")["min_kib"]
    print(f"free {free} KiB, lowest {lowest} KiB, {counted}")
    if ours is drivers.WALK:
        assert lowest >= 0.99 * free
    # A reserve stays in `hold` too.
    assert lowest > 8 * 1024


@pytest.mark.arm64
def test_hold_leaves_a_reserve(guests, machine):
    """Down to the last page, in a kernel that would leave next to nothing itself."""
    guest = guests.start(replace(machine, memory_mib=2048))
    guest.agent.write("/proc/sys/vm/min_free_kbytes", "1024")
    guest.insmod(drivers.RUST_MODULE, "free_page_hint=1 free_page_hint_order=0")
    # A hundred-and-twenty-eighth, but for what the guest itself takes meanwhile.
    reserve = guest.agent.meminfo()["MemTotal"] // 128
    guest.agent.call("min-free-start", period_ms=2)
    with hinting.round_done(guest):
        pass
    lowest = guest.agent.call("min-free-stop")["min_kib"]
    print(f"reserve {reserve} KiB, lowest {lowest} KiB")
    assert lowest > reserve * 3 // 4


@pytest.mark.arm64
def test_more_rounds(guests, machine, not_isolating):
    """Each request gets its own round, with pages in it."""
    guest = guests.start(machine)
    not_isolating.load(guest)
    first = hinting.one_round(guest)
    for _ in range(5):
        # What the driver holds until it has seen the end of the last migration is not free.
        hinting.wait_until(lambda: drivers.counter(guest, "held_pages") == 0, "nothing is held")
        again = hinting.one_round(guest)
        assert again.ids == first.ids == 2
        assert again.segments > 0


@pytest.mark.arm64
def test_two_numa_nodes(guests, machine, ours):
    guest = guests.start(replace(machine, memory_mib=2048, numa_nodes=2))
    assert guest.agent.run("cat /sys/devices/system/node/online").strip() == "0-1"
    ours.load(guest)
    free = hinting.free_kib(guest)
    with hinting.round_done(guest):
        # More than one node has.
        assert drivers.counter(guest, "pages") * machine.platform.page_kib >= 0.9 * free
    hinting.wait_for_free(guest, free)
