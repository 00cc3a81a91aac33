# SPDX-License-Identifier: GPL-2.0
"""The balloon is unplugged in the middle of hinting. Check kernel (it has hotplug).

QEMU takes no `device_del` during a migration, so it is the guest that has the device ejected.
"""

import time
from dataclasses import replace

from tools.guest import hinting, migration
from tools.guest.machine import BALLOON_ID, Balloon


def _is_there(guest):
    devices = guest.monitor.command("qom-list", path="/machine/peripheral")
    return any(device["name"] == BALLOON_ID for device in devices)


def _unplug(guest, free):
    """Whoever held pages must have let go of them when the device is gone."""
    guest.agent.run("for slot in /sys/bus/pci/slots/*; do echo 0 > $slot/power; done")
    assert not guest.agent.run("ls /sys/bus/virtio/devices").split()
    hinting.wait_until(lambda: not _is_there(guest), "the device is gone")
    assert migration.status(guest)["status"] == "active"
    hinting.wait_for_free(guest, free)
    guest.agent.run("rmmod virtio_balloon_rs")


def _guest_with_balloon(guests, machine, driver):
    guest = guests.start(replace(machine, balloon=Balloon(hotplug=True)))
    driver.load(guest)
    return guest, hinting.free_kib(guest)


def test_unplug_after_round(guests, check, ours):
    guest, free = _guest_with_balloon(guests, check, ours)
    with hinting.round_done(guest):
        _unplug(guest, free)


def test_unplug_during_round(guests, check, ours):
    guest, free = _guest_with_balloon(guests, check, ours)
    hinting.start(guest)
    time.sleep(0.01)
    _unplug(guest, free)
    migration.cancel(guest)
