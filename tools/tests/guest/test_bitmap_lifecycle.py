# SPDX-License-Identifier: GPL-2.0
"""The driver or the device goes away, sleeps, or moves while the driver looks for free pages or the
host discards them, and answers afterwards. Patched QEMU."""

from dataclasses import replace

import pytest

from tools.guest import (
    bitmap,
    contents,
    drivers,
    hinting,
    isolation,
    migration,
    situations,
    suspend,
)

# A page for each hold of the lock, of memory in single pages: that takes seconds.
SLOW = replace(drivers.BITMAP, parameters="free_page_bitmap=1 free_page_walk_batch=1")
ATTEMPTS = 30
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


def _begin(guest, ask=bitmap.ask, under_way=lambda last: True):
    """A request that takes long; returns its id when the driver is at it.

    On a busy host the guest may be done before this looks: then once more.
    """
    for _ in range(ATTEMPTS):
        taken = bitmap.counter(guest, "requests")
        number = ask(guest, order=0)
        bitmap.wait_until_taken(guest, taken)
        while (last := bitmap.query(guest)["last"])["status"] == "in-progress":
            if under_way(last):
                return number
    raise AssertionError(f"{ATTEMPTS} requests were done at once")


def _begin_to_discard(guest):
    """The same, of which a part was discarded and most is still to come."""
    return _begin(guest, bitmap.ask_to_discard, lambda last: last["discarded-bytes"] > 0)


def _go_through(guest, way, begin):
    leave, come_back = WAYS[way]
    free = hinting.free_kib(guest)
    number = begin(guest)
    leave(guest)
    come_back(guest)
    # The old request has ended with the device's state, whatever it has to say about it.
    last = bitmap.report(guest, order=9)
    assert last["id"] != number and last["free-blocks"] > 0
    hinting.wait_for_free(guest, free)


@pytest.mark.kasan
@pytest.mark.parametrize("way", [way for way in WAYS if way != "suspend-to-ram"])
def test_in_the_middle_of_discarding(guest, way):
    before = isolation.account(guest)
    _go_through(guest, way, _begin_to_discard)
    assert bitmap.discard(guest, order=9)["discarded-bytes"] > 0
    isolation.wait_until_put_back(guest)
    isolation.check_adds_up(guest, before)


@pytest.mark.kasan
@pytest.mark.parametrize("way", WAYS)
def test_in_the_middle(guest, way):
    _go_through(guest, way, _begin)


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


def test_moves_while_discarding(guests, machine):
    """A migration ends it. What was isolated then is free where the guest is now."""
    machine = replace(machine, balloon=SLOW.balloon())
    source = guests.start(machine, "source")
    SLOW.load(source)
    hinting.scatter_free_memory(source, SCATTERED_MIB)
    free = hinting.free_kib(source)
    contents.keep(source)
    contents.churn(source)
    destination = guests.start(machine, "destination", incoming=True)
    _begin_to_discard(source)
    migration.migrate(source, destination)
    assert bitmap.query(source)["bad-reports"] == 0
    source.stop()
    contents.check_churn(destination)
    contents.check_kept(destination)
    isolation.wait_until_put_back(destination)
    hinting.wait_for_free(destination, free)
    assert bitmap.discard(destination)["discarded-bytes"] > 0


def test_reset_while_discarding(guests, machine):
    """The guest starts again in the middle of it, with all its memory."""
    device = SLOW.balloon()
    guest = guests.start(replace(machine, memory_mib=512, balloon=device, reboot=True))
    free = isolation.account(guest)
    SLOW.load(guest)
    hinting.scatter_free_memory(guest, SCATTERED_MIB // 2)
    _begin_to_discard(guest)
    guest.monitor.command("system_reset")
    guest.boot()
    isolation.check_adds_up(guest, free)
    contents.keep(guest)
    SLOW.load(guest)
    assert bitmap.discard(guest)["discarded-bytes"] > 0
    contents.check_kept(guest)


def test_no_request_is_lost_by_a_pause(guests, machine):
    """The host asks a guest that is stopped; it answers as soon as it runs."""
    guest = guests.start(replace(machine, memory_mib=512, balloon=drivers.BITMAP.balloon()))
    drivers.BITMAP.load(guest)
    guest.stand_still()
    number = bitmap.ask(guest, order=9)
    guest.cont()
    hinting.wait_until(
        lambda: bitmap.query(guest)["last"]["status"] == "done", "the request is answered"
    )
    assert bitmap.query(guest)["last"]["id"] == number
