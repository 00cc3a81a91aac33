# SPDX-License-Identifier: GPL-2.0
"""The balloon is unplugged in the middle of hinting.

QEMU takes no `device_del` during a migration, so it is the guest that has the device ejected.
"""

import time
from dataclasses import replace

from tools.guest import hinting, migration
from tools.guest.machine import Balloon


def _unplug(guest, free):
    """Whoever held pages must have let go of them when the device is gone."""
    guest.eject_balloon()
    assert not guest.balloons()
    assert migration.status(guest)["status"] == "active"
    hinting.wait_for_free(guest, free)
    guest.agent.run("rmmod virtio_balloon_rs")


def _guest_with_balloon(guests, machine, driver):
    guest = guests.start(replace(machine, balloon=Balloon(hotplug=True)))
    driver.load(guest)
    return guest, hinting.free_kib(guest)


def test_unplug_after_round(guests, machine, not_isolating):
    guest, free = _guest_with_balloon(guests, machine, not_isolating)
    with hinting.round_done(guest):
        _unplug(guest, free)


def test_unplug_during_round(guests, machine, not_isolating):
    guest, free = _guest_with_balloon(guests, machine, not_isolating)
    hinting.start(guest)
    time.sleep(0.01)
    _unplug(guest, free)
    migration.cancel(guest)
