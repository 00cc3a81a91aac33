# SPDX-License-Identifier: GPL-2.0
"""The driver or the device goes away, sleeps, or starts again while the host has isolated blocks
and does not say what it does with them. Check kernel, any QEMU."""

from dataclasses import replace

import pytest

from tools.guest import (
    contents,
    hinting,
    isolation,
    migration,
    situations,
    stopped_thread,
    suspend,
)
from tools.guest.drivers import ISOLATE
from tools.guest.machine import Balloon


def _unbind(guest):
    situations.unbind(guest, ISOLATE)


def _bind(guest):
    situations.bind(guest, ISOLATE)


def _eject(guest):
    guest.eject_balloon()


def _plug(guest):
    guest.plug_balloon()


def _suspend(guest):
    suspend.cycle_devices(guest)


def _suspend_to_ram(guest):
    """To RAM and back: QEMU resets the device."""
    guest.suspend()
    guest.wake()


def _nothing(guest):
    pass


# What is done while the host has the blocks, and what after that. How often: nothing can be plugged
# after the last one, and it works once.
WAYS = {
    "unbind": (_unbind, _bind, 3),
    "unload": (ISOLATE.unload, ISOLATE.load, 3),
    "eject": (_eject, _plug, 3),
    "suspend": (_suspend, _nothing, 3),
    "suspend-to-ram": (_suspend_to_ram, _nothing, 1),
}


@pytest.fixture(scope="module")
def guest(shared, machine):
    found = shared.start(replace(machine, balloon=Balloon(hotplug=True)))
    contents.keep(found)
    ISOLATE.load(found)
    yield found
    contents.check_kept(found)


def _isolate(guest):
    """A round in which the host, whose thread is stopped, has a part of the guest's memory."""
    before = hinting.free_kib(guest)
    hinting.start(guest)
    hinting.wait_until(lambda: isolation.counter(guest, "pages") > 0, "pages are isolated")
    assert before - hinting.free_kib(guest) > before // 8


@pytest.mark.kasan
@pytest.mark.parametrize("way", WAYS)
def test_in_the_middle(guest, way):
    leave, come_back, times = WAYS[way]
    before = isolation.account(guest)
    for _ in range(times):
        with stopped_thread.stopped_iothread(guest):
            _isolate(guest)
            leave(guest)
        migration.cancel(guest)
        come_back(guest)
        assert hinting.one_round(guest).segments > 0
    isolation.wait_until_put_back(guest)
    isolation.check_adds_up(guest, before)
    isolation.check_huge_blocks(guest, before)


def test_reset(guests, machine):
    """The guest starts again, with all its memory."""
    guest = guests.start(replace(machine, memory_mib=512, reboot=True))
    before = isolation.account(guest)
    ISOLATE.load(guest)
    with stopped_thread.stopped_iothread(guest):
        _isolate(guest)
        guest.monitor.command("system_reset")
    migration.cancel(guest)
    guest.boot()
    isolation.check_adds_up(guest, before)
    ISOLATE.load(guest)
    contents.keep(guest)
    assert hinting.one_round(guest).segments > 0
    contents.check_kept(guest)
