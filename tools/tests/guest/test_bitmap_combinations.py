# SPDX-License-Identifier: GPL-2.0
"""Statistics, hinting, bitmap and reporting, each on and off. Patched QEMU.

A device numbers its queues by what it offers, so a driver that counts otherwise talks to the wrong
queue in some of these. QEMU always offers statistics; there the feature is kept from the driver by
the kernel (CONFIG_VIRTIO_DEBUG), as a driver is that does not want it.
"""

import itertools
import time
from dataclasses import replace

import pytest

from tools.guest import balloon, bitmap, drivers, hinting, reporting, situations, stats
from tools.guest.machine import Balloon

STATISTICS, HINTING, REPORTING = 1, 3, 5
STATISTICS_QUEUE = 2
FIRST_QUEUE_AFTER = 3
REMAINING_MIB = 480
MEMORY_MIB = 512
DRIVER = drivers.BITMAP


@pytest.fixture(scope="module")
def guest(shared, machine):
    # With hinting, so that there is the thread it needs.
    device = Balloon(hotplug=True, plugged=False)
    found = shared.start(replace(machine, memory_mib=MEMORY_MIB, balloon=device, patched=True))
    DRIVER.load(found)
    reporting.set_delay(found, 20)
    return found


OFFERS = {
    "-".join(name if on else f"no_{name}" for name, on in offer.items()): offer
    for offer in (
        dict(zip(("hinting", "bitmap", "reporting"), switches, strict=True))
        for switches in itertools.product((False, True), repeat=3)
    )
}


@pytest.fixture(params=OFFERS.values(), ids=OFFERS)
def device(guest, request):
    """What the device offers, plugged in."""
    offered = Balloon(
        free_page_hint=request.param["hinting"],
        bitmap=request.param["bitmap"],
        free_page_reporting=request.param["reporting"],
        hotplug=True,
    )
    guest.plug_balloon(offered)
    yield offered
    guest.unplug_balloon()


def _withhold(guest, feature):
    (name,) = guest.balloons()
    situations.unbind(guest, DRIVER)
    guest.agent.write(f"/sys/kernel/debug/virtio/{name}/filter_feature_add", str(feature))
    situations.bind(guest, DRIVER)


@pytest.mark.parametrize("statistics", [True, False], ids=["statistics", "no_statistics"])
def test_what_is_on_works(guest, device, statistics):
    if not statistics:
        _withhold(guest, STATISTICS)
    wanted = {
        STATISTICS: statistics,
        HINTING: device.free_page_hint and not device.bitmap,
        bitmap.FEATURE: device.bitmap,
        REPORTING: device.free_page_reporting,
    }
    features = drivers.features(guest)
    assert {bit: bit in features for bit in wanted} == wanted

    balloon.inflate_to(guest, REMAINING_MIB)
    balloon.deflate_all(guest)
    _check_statistics(guest, statistics)
    if wanted[HINTING]:
        assert hinting.one_round(guest).segments > 0
    if wanted[bitmap.FEATURE]:
        assert bitmap.report(guest)["free-blocks"] > 0
    if wanted[REPORTING]:
        shared_queue = device.free_page_hint or device.bitmap
        reporting.check_reports(guest, queue=FIRST_QUEUE_AFTER + shared_queue)


def _check_statistics(guest, statistics):
    if statistics:
        total = stats.fresh(guest).values["total-memory"]
        assert total == guest.agent.meminfo()["MemTotal"] << 10
        return
    # The host asks, and there is nobody who would answer. What it knows it has from before.
    known = stats.read(guest)
    since = len(guest.balloon_events())
    stats.poll(guest, 1)
    time.sleep(1.5)
    stats.poll(guest, 0)
    events = guest.balloon_events()[since:]
    assert not any(event.kind == "notify" and event.value == STATISTICS_QUEUE for event in events)
    assert stats.read(guest) == known
