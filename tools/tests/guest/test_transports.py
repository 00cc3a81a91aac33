# SPDX-License-Identifier: GPL-2.0
"""The other kinds of rings and of PCI devices that QEMU has. Check kernel."""

from dataclasses import replace

import pytest

from tools.guest import balloon, contents, hinting, reporting, stats
from tools.guest.machine import Balloon

VERSION_1, RING_PACKED, EVENT_IDX, INDIRECT_DESC = 32, 34, 29, 28
KINDS = {
    # Features, configuration and byte order as before version 1 of the specification.
    "legacy": ({"disable-modern": True, "disable-legacy": "off"}, {VERSION_1: False}),
    "packed": ({"packed": True}, {RING_PACKED: True}),
    "no-event-idx": ({"event_idx": False}, {EVENT_IDX: False}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_works(guests, machine, driver, kind):
    properties, wanted = KINDS[kind]
    device = Balloon(free_page_reporting=True, more=properties)
    guest = guests.start(replace(machine, memory_mib=512, balloon=device))
    reporting.set_delay(guest, 20)
    driver.load(guest)
    features = guest.agent.read("/sys/bus/virtio/devices/virtio0/features").strip()
    for bit, accepted in wanted.items():
        assert (features[bit] == "1") == accepted, f"feature {bit}"
    # Adding a buffer would need memory.
    assert not driver.is_rust or features[INDIRECT_DESC] == "0"

    contents.keep(guest)
    free = hinting.free_kib(guest)
    balloon.inflate_to(guest, 256)
    assert stats.fresh(guest).values["total-memory"] < 300 << 20
    balloon.deflate_all(guest)
    assert hinting.one_round(guest).segments > 0
    reporting.check_reports(guest)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)
