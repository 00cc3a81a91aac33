# SPDX-License-Identifier: GPL-2.0
"""Many migrations that start and are cancelled at every stage of a round."""

import time
from dataclasses import replace

from tools.guest import drivers, hinting, migration

CYCLES = 200


def test_start_stop(guests, machine, not_isolating):
    guest = guests.start(replace(machine, memory_mib=2048))
    # Single pages, and many of them, so that most rounds are cut short.
    guest.insmod(drivers.RUST_MODULE, f"{not_isolating.parameters} free_page_hint_order=0")
    hinting.scatter_free_memory(guest, mib=1536)
    hinting.one_round(guest)
    free = hinting.free_kib(guest)

    for cycle in range(CYCLES):
        hinting.start(guest)
        # From at once to well after the end of a round.
        time.sleep((cycle % 20) * 0.002)
        migration.cancel(guest)

    counted = drivers.counters(guest)
    print(counted)
    assert counted["interrupted"] >= CYCLES // 20, "too few rounds were cut short"
    assert counted["requests"] >= CYCLES // 10
    hinting.wait_until(lambda: drivers.counter(guest, "held_pages") == 0, "nothing is held")
    hinting.wait_for_free(guest, free)
    # It still works.
    assert hinting.one_round(guest).segments > 0
