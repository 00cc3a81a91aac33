# SPDX-License-Identifier: GPL-2.0
"""The driver or the device goes away, sleeps, or moves while the driver looks for free pages, and
answers afterwards. Patched QEMU."""

from dataclasses import replace

import pytest

from tools.guest import bitmap, contents, drivers, hinting, migration, situations, suspend

# A page for each hold of the lock, of memory in single pages: that takes seconds.
SLOW = replace(drivers.BITMAP, parameters="free_page_bitmap=1 free_page_walk_batch=1")
SCATTERED_MIB = 512


def _eject(guest):
    guest.eject_balloon()


def _plug(guest):
    guest.plug_balloon()


def _unbind(guest):
    situations.unbind(guest, SLOW)


def _bind(guest):
    situations.bind(guest, SLOW)


def _suspend(guest):
    suspend.cycle_devices(guest)


def _nothing(guest):
    pass


def _suspend_to_ram(guest):
    """To RAM and back: QEMU resets the device."""
    guest.suspend()
    guest.wake()


WAYS = {
    "unbind": (_unbind, _bind),
    "unload": (SLOW.unload, SLOW.load),
    "eject": (_eject, _plug),
    "suspend": (_suspend, _nothing),
    # The last one: nothing can be plugged after it.
    "suspend-to-ram": (_suspend_to_ram, _nothing),
}


@pytest.fixture(scope="module")
def guest(shared, machine):
    device = replace(SLOW.balloon(), hotplug=True)
    found = shared.start(replace(machine, balloon=device))
    contents.keep(found)
    SLOW.load(found)
    hinting.scatter_free_memory(found, SCATTERED_MIB)
    yield found
    contents.check_kept(found)


def _begin(guest):
    """A request that takes long; returns its id when the driver is at it."""
    taken = bitmap.counter(guest, "requests")
    number = bitmap.ask(guest, order=0)
    hinting.wait_until(
        lambda: bitmap.counter(guest, "requests") > taken, "the driver takes the request"
    )
    assert bitmap.query(guest)["last"]["status"] == "in-progress"
    return number


@pytest.mark.kasan
@pytest.mark.parametrize("way", WAYS)
def test_in_the_middle(guest, way):
    leave, come_back = WAYS[way]
    free = hinting.free_kib(guest)
    number = _begin(guest)
    leave(guest)
    come_back(guest)
    # The old request has ended with the device's state, whatever it has to say about it.
    last = bitmap.report(guest, order=9)
    assert last["id"] != number and last["free-blocks"] > 0
    hinting.wait_for_free(guest, free)


def test_moves(guests, machine):
    """The driver looks for free pages while the guest moves; the host it comes to can ask."""
    machine = replace(machine, balloon=SLOW.balloon())
    source = guests.start(machine, "source")
    SLOW.load(source)
    hinting.scatter_free_memory(source, SCATTERED_MIB)
    contents.churn(source)
    destination = guests.start(machine, "destination", incoming=True)
    migration.set_limits(source)
    migration.start(source, migration.listen(destination))
    # Raw, for QEMU's own command lets the migration's request go first. So one is on its way at
    # the end, whenever that is.
    end_pfn = bitmap.memory_end(source)
    while migration.status(source)["status"] not in ("completed", "failed"):
        bitmap.send(source, bitmap.Request(bitmap.fresh_id(), order=0, end_pfn=end_pfn))
    assert migration.wait(source, 120)["status"] == "completed"
    migration.wait_until_running(destination)
    source.stop()
    contents.check_churn(destination)
    last = bitmap.report(destination, order=9)
    assert last["free-blocks"] > 0
    assert bitmap.query(destination)["bad-reports"] == 0


def test_no_request_is_lost_by_a_pause(guests, machine):
    """The host asks a guest that is stopped; it answers as soon as it runs."""
    guest = guests.start(replace(machine, memory_mib=512, balloon=drivers.BITMAP.balloon()))
    drivers.BITMAP.load(guest)
    guest.monitor.command("stop")
    number = bitmap.ask(guest, order=9)
    guest.monitor.command("cont")
    hinting.wait_until(
        lambda: bitmap.query(guest)["last"]["status"] == "done", "the request is answered"
    )
    assert bitmap.query(guest)["last"]["id"] == number
