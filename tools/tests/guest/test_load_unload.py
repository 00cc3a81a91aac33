# SPDX-License-Identifier: GPL-2.0
"""The module is removed in the middle of hinting, and loaded in the middle of it."""

import time
from dataclasses import replace

from tools.guest import hinting, migration

CYCLES = 50
KMEMLEAK = "/sys/kernel/debug/kmemleak"


def _cycles(guest, driver):
    for cycle in range(CYCLES):
        if cycle % 2:
            driver.load(guest)
            hinting.start(guest)
        else:
            hinting.start(guest)
            driver.load(guest)
        time.sleep((cycle % 10) * 0.005)
        guest.agent.run("rmmod virtio_balloon_rs")
        migration.cancel(guest)


def test_memory_comes_back(guests, machine, not_isolating):
    guest = guests.start(machine)
    # Rounds that are still going on when the module is removed.
    driver = replace(
        not_isolating, parameters=f"{not_isolating.parameters} free_page_hint_order=0"
    )
    hinting.scatter_free_memory(guest, mib=512)
    driver.load(guest)
    guest.agent.run("rmmod virtio_balloon_rs")
    free = hinting.free_kib(guest)
    _cycles(guest, driver)
    hinting.wait_for_free(guest, free)


def test_nothing_leaks(guests, machine, not_isolating):
    guest = guests.start(replace(machine, append=("kmemleak=on",)))
    agent = guest.agent
    # What the boot leaves behind is not ours.
    agent.run(f"echo scan > {KMEMLEAK}; echo clear > {KMEMLEAK}", deadline=200)
    _cycles(guest, not_isolating)
    # kmemleak reports what it finds twice, and nothing younger than some seconds.
    for _ in range(2):
        time.sleep(6)
        agent.run(f"echo scan > {KMEMLEAK}", deadline=200)
    leaks = agent.read(KMEMLEAK)
    assert "unreferenced" not in leaks, leaks
