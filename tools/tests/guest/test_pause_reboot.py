# SPDX-License-Identifier: GPL-2.0
"""The guest is stopped, or starts again, while the balloon moves. Check kernel."""

import time
from dataclasses import replace

import pytest

from tools.guest import balloon, contents, hinting

REMAINING_MIB = 200


def _start(guests, machine, driver):
    guest = guests.start(replace(machine, memory_mib=1024, reboot=True))
    driver.load(guest)
    return guest


def test_stop_and_cont(guests, machine, driver):
    guest = _start(guests, machine, driver)
    contents.keep(guest)
    free = hinting.free_kib(guest)
    for _ in range(3):
        for mib in (REMAINING_MIB, guest.machine.memory_mib):
            balloon.stop_midway(guest, mib)
            stopped = balloon.actual_bytes(guest)
            time.sleep(0.2)
            assert balloon.actual_bytes(guest) == stopped
            guest.cont()
            balloon.wait_for_actual(guest, mib)
    # A target that is set while the guest cannot hear of it.
    guest.stand_still()
    balloon.set_remaining(guest, REMAINING_MIB)
    guest.cont()
    balloon.wait_for_actual(guest, REMAINING_MIB)
    balloon.deflate_all(guest)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)


def _wait_until_reached(guest, total):
    """Not by `actual` alone: until the driver writes it, that is the one from before the reboot."""
    balloon.wait_for_actual(guest, REMAINING_MIB)
    left = total - balloon.inflated_pages(guest) * 4
    hinting.wait_until(
        lambda: guest.agent.meminfo()["MemTotal"] == left, "the target is reached", 120
    )


def _check_all_is_back(guest, driver, free):
    """`free` is from before the driver was loaded, as it inflates from then on."""
    balloon.deflate_all(guest)
    driver.unload(guest)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)


def _reset_midway(guest):
    """Stopped first, so that it cannot be over before the reset."""
    balloon.stop_midway(guest, REMAINING_MIB)
    guest.monitor.command("system_reset")
    guest.cont()
    guest.boot()


def _reboot(guest):
    """The kernel shuts the driver down while it inflates."""
    balloon.set_remaining(guest, REMAINING_MIB)
    guest.reboot()


@pytest.mark.parametrize("reboot", [_reset_midway, _reboot], ids=["reset", "reboot"])
def test_reboot(guests, machine, driver, reboot):
    """The target outlives a reboot; the new kernel's balloon starts empty and follows it."""
    guest = _start(guests, machine, driver)
    total = guest.agent.meminfo()["MemTotal"]
    for _ in range(2):
        reboot(guest)
        contents.keep(guest)
        assert guest.agent.meminfo()["MemTotal"] == total
        free = hinting.free_kib(guest)
        driver.load(guest)
        _wait_until_reached(guest, total)
        _check_all_is_back(guest, driver, free)
        driver.load(guest)


def test_target_gone_after_reset(guests, machine, driver):
    """The device keeps `actual` over a reset, so the driver has to say that it holds nothing, even
    if there is nothing to do.

    The C driver does not, and fails this: it writes `actual` only when the balloon moves.
    """
    guest = _start(guests, machine, driver)
    balloon.inflate_to(guest, REMAINING_MIB)
    guest.stand_still()
    balloon.deflate(guest)
    guest.monitor.command("system_reset")
    guest.cont()
    guest.boot()
    driver.load(guest)
    balloon.wait_for_actual(guest, guest.machine.memory_mib, 30)


def test_target_before_start(guests, machine, driver):
    """The guest's CPUs do not run yet when the target is set."""
    guest = guests.start(replace(machine, memory_mib=1024), paused=True)
    balloon.set_remaining(guest, REMAINING_MIB)
    guest.cont()
    guest.boot()
    contents.keep(guest)
    total = guest.agent.meminfo()["MemTotal"]
    free = hinting.free_kib(guest)
    driver.load(guest)
    _wait_until_reached(guest, total)
    _check_all_is_back(guest, driver, free)
