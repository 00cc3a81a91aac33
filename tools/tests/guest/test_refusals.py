# SPDX-License-Identifier: GPL-2.0
"""What the owner of the guest refuses by a parameter is not negotiated; the rest works."""

from dataclasses import replace

from tools.guest import balloon, drivers
from tools.guest.machine import Balloon

# Bits of the specification, section 5.5.3.
STATS_VQ, FREE_PAGE_HINT, REPORTING = 1, 3, 5
ALL = {STATS_VQ, FREE_PAGE_HINT, REPORTING}


def _accepted(guest):
    bits = guest.agent.read("/sys/bus/virtio/drivers/virtio_balloon_rs/virtio0/features")
    return {bit for bit in ALL if bits[bit] == "1"}


def test_refusals(guests, machine):
    device = Balloon(free_page_reporting=True)
    guest = guests.start(replace(machine, memory_mib=512, balloon=device))
    for parameters, refused in (
        ("", set()),
        ("statistics=0", {STATS_VQ}),
        ("free_page_reporting=0", {REPORTING}),
        ("statistics=0 free_page_hint=0 free_page_reporting=0", ALL),
    ):
        guest.insmod(drivers.RUST_MODULE, parameters)
        assert _accepted(guest) == ALL - refused, parameters
        # No virtqueue is taken for another one.
        balloon.inflate_to(guest, 384)
        balloon.deflate_all(guest)
        guest.agent.run("rmmod virtio_balloon_rs")
