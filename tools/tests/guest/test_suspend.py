# SPDX-License-Identifier: GPL-2.0
"""Suspend to RAM in every situation the balloon may be in. Check kernel."""

from dataclasses import replace

import pytest

from tools.guest import balloon, contents, reporting, situations, suspend
from tools.guest.machine import Balloon


def _start(guests, machine, driver):
    guest = guests.start(replace(machine, balloon=Balloon(free_page_reporting=True)))
    reporting.set_delay(guest, 50)
    contents.keep(guest, mib=64)
    contents.churn(guest, mib_per_s=8)
    before = situations.load(guest, driver)
    return guest, before


def _check(guest, before, remaining):
    balloon.wait_for_actual(guest, remaining)
    reporting.check_reports(guest)
    situations.check_works(guest)
    contents.check_churn(guest)
    situations.check_memory(guest, before)
    contents.check_kept(guest)


@pytest.mark.kasan
@pytest.mark.parametrize("name", situations.NAMES)
def test_suspend_to_ram(guests, machine, driver, name):
    guest, before = _start(guests, machine, driver)
    with situations.situation(guest, name) as remaining:
        guest.suspend()
        guest.wake()
    _check(guest, before, remaining)


def test_target_changes_while_asleep(guests, machine, driver):
    """The driver finds out on its own: nobody interrupts a guest that sleeps."""
    guest, before = _start(guests, machine, driver)
    balloon.inflate_to(guest, situations.REMAINING_MIB)
    guest.suspend()
    balloon.set_remaining(guest, 800)
    guest.wake()
    _check(guest, before, 800)


@pytest.mark.kasan
def test_many_times(guests, machine, driver):
    guest, before = _start(guests, machine, driver)
    for cycle in range(10):
        name = situations.NAMES[cycle % len(situations.NAMES)]
        with situations.situation(guest, name) as remaining:
            suspend.cycle_devices(guest)
            balloon.wait_for_actual(guest, remaining)
        balloon.deflate_all(guest)
    _check(guest, before, guest.machine.memory_mib)
