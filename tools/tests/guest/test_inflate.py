# SPDX-License-Identifier: GPL-2.0
"""Most of the guest's memory goes into the balloon and comes back, many times. Check kernel."""

from dataclasses import replace

from tools.guest import balloon, contents, hinting

CYCLES = 50
REMAINING_MIB = 128


def test_there_and_back(guests, machine, driver):
    guest = guests.start(replace(machine, memory_mib=384))
    driver.load(guest)
    contents.keep(guest)
    total = guest.agent.meminfo()["MemTotal"]
    free = hinting.free_kib(guest)

    for _ in range(CYCLES):
        balloon.inflate_to(guest, REMAINING_MIB)
        # What is in the balloon does not count as the guest's memory.
        inflated_kib = balloon.inflated_pages(guest) * 4
        assert guest.agent.meminfo()["MemTotal"] == total - inflated_kib
        balloon.deflate_all(guest)

    assert balloon.inflated_pages(guest) == 0
    assert guest.agent.meminfo()["MemTotal"] == total
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)


def test_unload_inflated(guests, machine, driver):
    """A driver that goes away takes its pages out of the balloon."""
    guest = guests.start(replace(machine, memory_mib=384))
    total = guest.agent.meminfo()["MemTotal"]
    contents.keep(guest)
    free = hinting.free_kib(guest)
    for _ in range(3):
        driver.load(guest)
        balloon.inflate_to(guest, REMAINING_MIB)
        driver.unload(guest)
        assert balloon.inflated_pages(guest) == 0
        assert guest.agent.meminfo()["MemTotal"] == total
        hinting.wait_for_free(guest, free)
    contents.check_kept(guest)
