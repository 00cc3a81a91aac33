# SPDX-License-Identifier: GPL-2.0
"""Compaction moves pages of the balloon. Check kernel."""

from dataclasses import replace

import pytest

from tools.guest import balloon, contents, hinting, vmstat

REMAINING_MIB = 288
ROUNDS = 3
# A pass of the kernel may find nothing to move, depending on where the pages happened to be.
ATTEMPTS = 10


def _scatter(guest):
    """Inflates into a memory of which every second page is in use, and frees those."""
    hinting.scatter_free_memory(guest, mib=320)
    balloon.inflate_to(guest, REMAINING_MIB)
    guest.agent.call("drop", name="scattered")


def _compact(guest, total):
    """Compacts until pages of the balloon have moved."""
    before = vmstat.event(guest, "balloon_migrate")
    for attempt in range(1, ATTEMPTS + 1):
        _scatter(guest)
        contents.churn(guest)
        guest.agent.run("for i in 1 2 3; do echo 1 > /proc/sys/vm/compact_memory; done", 120)
        contents.check_churn(guest)
        # However many moved, as many are in the balloon as before.
        assert balloon.actual_mib(guest) == REMAINING_MIB
        assert guest.agent.meminfo()["MemTotal"] == total - balloon.inflated_pages(guest) * 4
        balloon.deflate_all(guest)
        moved = vmstat.event(guest, "balloon_migrate") - before
        print(f"attempt {attempt}: {moved} pages moved")
        if moved:
            return
    raise AssertionError(f"no page moved in {ATTEMPTS} attempts")


@pytest.mark.arm64_4k
def test_compaction(guests, machine, driver):
    guest = guests.start(replace(machine, memory_mib=512))
    driver.load(guest)
    contents.keep(guest)
    total = guest.agent.meminfo()["MemTotal"]
    free = hinting.free_kib(guest)
    for _ in range(ROUNDS):
        _compact(guest, total)
    if driver.is_rust:
        assert balloon.counter(guest, "migrated") == vmstat.event(guest, "balloon_migrate")
    assert guest.agent.meminfo()["MemTotal"] == total
    assert vmstat.event(guest, "balloon_inflate") == vmstat.event(guest, "balloon_deflate")
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)


def test_compaction_while_moving(guests, machine, driver):
    """Pages move while the balloon grows and shrinks."""
    guest = guests.start(replace(machine, memory_mib=512))
    driver.load(guest)
    contents.keep(guest)
    free = hinting.free_kib(guest)
    before = vmstat.event(guest, "balloon_migrate")
    for attempt in range(1, ATTEMPTS + 1):
        _scatter(guest)
        for mib in (REMAINING_MIB - 96, REMAINING_MIB + 64, guest.machine.memory_mib):
            balloon.set_remaining(guest, mib)
            guest.agent.run("echo 1 > /proc/sys/vm/compact_memory", 120)
            balloon.wait_for_actual(guest, mib)
        moved = vmstat.event(guest, "balloon_migrate") - before
        if moved and attempt >= ROUNDS:
            break
    print(f"{moved} pages moved")
    assert moved > 0
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)
