# SPDX-License-Identifier: GPL-2.0
"""Most of the guest's memory goes into the balloon and comes back, many times. Check kernel."""

from dataclasses import replace

import pytest

from tools.guest import balloon, contents, hinting, reporting, situations

CYCLES = 50
REMAINING_MIB = 128


@pytest.mark.arm64
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


@pytest.mark.arm64
def test_unload_inflated(guests, machine, driver):
    """A driver that goes away takes its pages out of the balloon."""
    guest = guests.start(replace(machine, memory_mib=384))
    contents.keep(guest)
    situations.check_unload_inflated(guest, driver, REMAINING_MIB, times=3)
    contents.check_kept(guest)


@pytest.mark.arm64_4k
def test_host_gets_each_page_once(guests, machine, driver):
    """The numbers that the host is told are those of pages, and there are no others among them."""
    guest = guests.start(replace(machine, memory_mib=384, trace=reporting.TRACE))
    driver.load(guest)
    # No multiples of the pages in a buffer, so that some buffers are not full.
    for pages in (1000, 0, 2100):
        seen = len(reporting.blocks(guest))
        balloon.set_remaining_bytes(guest, (guest.machine.memory_mib << 20) - pages * balloon.PAGE)
        hinting.wait_until(
            lambda pages=pages: balloon.inflated_pages(guest) == pages, f"{pages} are inflated"
        )
        given = [block.address for block in reporting.blocks(guest)[seen:]]
        assert len(set(given)) == len(given) == pages
