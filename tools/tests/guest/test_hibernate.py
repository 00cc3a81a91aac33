# SPDX-License-Identifier: GPL-2.0
"""Hibernation: the guest's memory goes to a disk, and another QEMU continues from it.
Check kernel."""

from dataclasses import replace

import pytest

from tools.guest import balloon, contents, reporting, situations
from tools.guest.machine import Balloon

DISK_MIB = 1024


@pytest.mark.parametrize("name", ["inflated", "inflating"])
def test_hibernate(guests, machine, driver, logs, name):
    disk = logs / "swap"
    with disk.open("wb") as image:
        image.truncate(DISK_MIB << 20)
    machine = replace(
        machine,
        disk=disk,
        balloon=Balloon(free_page_reporting=True),
        append=("resume=/dev/vda",),
    )
    guest = guests.start(machine, "before")
    guest.agent.run("mkswap /dev/vda && swapon /dev/vda")
    reporting.set_delay(guest, 50)
    contents.keep(guest, mib=64)
    before = situations.load(guest, driver)
    situations.enter(guest, name)
    guest.hibernate()

    after = guests.start(machine, "after", paused=True)
    # A host that starts anew has a target of its own, and the guest has to find out.
    balloon.set_remaining(after, 600)
    after.cont()
    after.agent.wake_up(120)
    balloon.wait_for_actual(after, 600)
    reporting.check_reports(after)
    situations.check_works(after)
    situations.check_memory(after, before)
    contents.check_kept(after)
    disk.unlink()
