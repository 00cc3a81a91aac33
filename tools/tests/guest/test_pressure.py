# SPDX-License-Identifier: GPL-2.0
"""The guest needs the memory that `hold` holds."""

from tools.guest import drivers, hinting

# Neither filled nor counted on: page tables, kernel, what the watermarks keep.
SPARE_MIB = 96


def test_memory_pressure(guests, machine):
    guest = guests.start(machine)
    drivers.HOLD.load(guest)
    free = hinting.free_kib(guest)
    mib = guest.agent.meminfo()["MemAvailable"] // 1024 - SPARE_MIB

    with hinting.round_done(guest):
        held = drivers.counter(guest, "held_pages")
        assert held * 4096 > (mib - SPARE_MIB) << 19, "less than half is held: no pressure"
        # Out of memory and failed allocations show in the log, which is checked at the end.
        guest.agent.call("fill", 120, name="pressure", mib=mib, seed=21)
        verdict = guest.agent.call("verify", 120, name="pressure")
        assert verdict["wrong"] == 0
        counted = drivers.counters(guest)
        print(counted)
        assert counted["shrunk_pages"] > 0
        assert counted["held_pages"] < held
    guest.agent.call("drop", name="pressure")
    hinting.wait_for_free(guest, free)
    assert drivers.counter(guest, "held_pages") == 0
