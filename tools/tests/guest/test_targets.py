# SPDX-License-Identifier: GPL-2.0
"""Targets that change all the time, and targets that cannot be reached. Check kernel."""

import random
import time
from dataclasses import replace

from tools.guest import balloon, contents, cpu_time, hinting, patience

MEMORY_MIB = 512
LEAST_MIB = 144


def test_changing(guests, machine, driver):
    guest = guests.start(replace(machine, memory_mib=MEMORY_MIB))
    driver.load(guest)
    contents.keep(guest)
    free = hinting.free_kib(guest)
    contents.churn(guest)

    numbers = random.Random(41)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        balloon.set_remaining(guest, numbers.randint(LEAST_MIB, MEMORY_MIB))
        time.sleep(0.05)
    balloon.inflate_to(guest, LEAST_MIB + 21)
    # Where it has settled it stays.
    time.sleep(1)
    assert balloon.actual_mib(guest) == LEAST_MIB + 21

    contents.check_churn(guest)
    balloon.deflate_all(guest)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)


def test_more_than_there_is(guests, machine, driver):
    """The target is all of the guest's memory, more than the kernel has under its control.

    QEMU makes a remaining size larger than the guest into a target of 0, and takes none below one
    byte, so that no target above the guest's size can be set: all pages but one is the largest.
    """
    guest = guests.start(replace(machine, memory_mib=MEMORY_MIB))
    driver.load(guest)
    contents.keep(guest)
    total = guest.agent.meminfo()["MemTotal"]
    free = hinting.free_kib(guest)

    balloon.inflate_to(guest, MEMORY_MIB - 64)
    balloon.set_remaining_bytes(guest, 1 << 50)
    balloon.wait_for_actual(guest, MEMORY_MIB)

    start = time.monotonic()
    balloon.set_remaining_bytes(guest, 1)
    _wait_until_stuck(guest)
    # There is nearly nothing left, so nothing may be started in the guest: only the host looks.
    with cpu_time.measured(guest) as used:
        time.sleep(10)
    print(f"{balloon.actual_mib(guest)} MiB remain, {used.share:.3f} CPUs in use meanwhile")
    guest.agent.ping()
    assert used.share < 0.5, "the driver does not pause between two attempts"
    assert balloon.actual_bytes(guest) > balloon.PAGE

    balloon.deflate_all(guest)
    assert guest.agent.meminfo()["MemTotal"] == total
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)
    if driver.is_rust:
        # A fifth of a second between two attempts.
        assert 0 < balloon.counter(guest, "retries") <= 6 * (time.monotonic() - start)


def _wait_until_stuck(guest):
    """Returns when the balloon has hardly grown for some seconds."""
    before, since = 0, time.monotonic()
    end = patience.until(120)
    while time.monotonic() < since + 5:
        assert time.monotonic() < end, "the balloon grows on and on"
        pages = balloon.inflated_pages(guest)
        if pages > before + 256:
            before, since = pages, time.monotonic()
        time.sleep(0.2)
