# SPDX-License-Identifier: GPL-2.0
"""The device or the driver goes away in every situation the balloon may be in, and comes back.
Check kernel."""

from dataclasses import replace

import pytest

from tools.guest import balloon, contents, reporting, situations
from tools.guest.machine import Balloon


def _eject(guest, driver):
    # By the guest, because QEMU takes no device_del during a migration.
    guest.eject_balloon()


def _unload(guest, driver):
    driver.unload(guest)


def _plug(guest, driver):
    guest.plug_balloon()


def _load(guest, driver):
    driver.load(guest)


WAYS = {
    "eject": (_eject, _plug),
    "unbind": (situations.unbind, situations.bind),
    "unload": (_unload, _load),
}


def _start(guests, machine, driver):
    guest = guests.start(
        replace(machine, balloon=Balloon(free_page_reporting=True, hotplug=True))
    )
    reporting.set_delay(guest, 50)
    contents.keep(guest, mib=64)
    before = situations.load(guest, driver)
    return guest, before


@pytest.mark.kasan
@pytest.mark.parametrize("way", WAYS)
def test_away_and_back(guests, machine, driver, way):
    guest, before = _start(guests, machine, driver)
    leave, come_back = WAYS[way]
    for name in situations.NAMES:
        with situations.situation(guest, name):
            leave(guest, driver)
            situations.check_memory(guest, before)
        # QEMU takes no device_add during a migration either.
        come_back(guest, driver)
        balloon.inflate_to(guest, 800)
        balloon.deflate_all(guest)
    situations.check_works(guest)
    leave(guest, driver)
    situations.check_memory(guest, before)
    contents.check_kept(guest)


@pytest.mark.parametrize("name", ["inflated", "inflating"])
def test_host_takes_it(guests, machine, driver, name):
    """The host asks for the device, as a management tool does."""
    guest, before = _start(guests, machine, driver)
    with situations.situation(guest, name):
        guest.unplug_balloon()
        situations.check_memory(guest, before)
    guest.plug_balloon()
    situations.check_works(guest)
    contents.check_kept(guest)
