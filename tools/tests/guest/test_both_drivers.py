# SPDX-License-Identifier: GPL-2.0
"""Ours and the C driver take turns on one device, through sysfs."""

from tools.guest import drivers, hinting

C, RUST = "virtio_balloon", "virtio_balloon_rs"
SYSFS = "/sys/bus/virtio"


def test_unbind_and_bind(guests, machine):
    guest = guests.start(machine)
    drivers.C.load(guest)
    drivers.HOLD.load(guest)
    assert drivers.bound(guest) == C
    for old, new in ((C, RUST), (RUST, C), (C, RUST)):
        guest.agent.write(f"{SYSFS}/drivers/{old}/unbind", "virtio0")
        assert drivers.bound(guest) is None
        guest.agent.write(f"{SYSFS}/drivers/{new}/bind", "virtio0")
        assert drivers.bound(guest) == new
        assert hinting.one_round(guest).segments > 0
