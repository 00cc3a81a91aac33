# SPDX-License-Identifier: GPL-2.0
"""Who takes what of a device that offers hinting and the bitmap. Patched QEMU."""

import re
from dataclasses import replace

import pytest

from tools.guest import bitmap, drivers, hinting
from tools.guest.errors import ToolError

HINTING = 3
OFF = {
    "off": replace(drivers.HOLD, parameters="free_page_bitmap=0"),
    "hold": drivers.HOLD,
    "walk": drivers.WALK,
    "isolate": drivers.ISOLATE,
    "c": drivers.C,
}


def _start(guests, machine, name="guest", **changes):
    return guests.start(replace(machine, balloon=drivers.BITMAP.balloon(), **changes), name)


def _said(guest):
    """What the driver's log says, without the time of it."""
    lines = [line for line in guest.log().splitlines() if "virtio_balloon" in line]
    return [re.sub(r"^\[[^]]*\] ", "", line) for line in lines]


@pytest.mark.parametrize("driver", OFF.values(), ids=OFF)
def test_hinting_is_taken_without_it(guests, machine, driver):
    """The guest's policy does not want the bitmap, or the driver does not know it."""
    guest = _start(guests, machine)
    driver.load(guest)
    assert drivers.features(guest) & {HINTING, bitmap.FEATURE} == {HINTING}
    assert not bitmap.query(guest)["supported"]
    with pytest.raises(ToolError, match="x-balloon-free-page-report"):
        bitmap.ask(guest)
    assert hinting.one_round(guest).segments > 0


def test_off_is_as_without(guests, machine):
    """A guest that forbids it says and does what it does with a device that does not offer it."""
    with_it = _start(guests, machine, "offered")
    without = guests.start(replace(machine, patched=True), "not-offered")
    seen = []
    for guest in (with_it, without):
        drivers.HOLD.load(guest)
        traffic = hinting.one_round(guest)
        files = guest.agent.run("ls /sys/kernel/debug/virtio_balloon_rs-*")
        seen.append((drivers.features(guest), traffic.ids, files, _said(guest)))
        assert traffic.segments > 0
    assert seen[0] == seen[1]


def test_bitmap_is_taken_first(guests, machine):
    guest = _start(guests, machine)
    drivers.BITMAP.load(guest)
    assert drivers.features(guest) & {HINTING, bitmap.FEATURE} == {bitmap.FEATURE}
    assert bitmap.query(guest)["supported"]
    assert bitmap.report(guest)["free-blocks"] > 0


@pytest.mark.parametrize("option", ["init_on_free=1", "page_poison=1"])
def test_refused_if_free_pages_have_content(guests, machine, option):
    """A page that is skipped comes back with another content. Hinting goes on, by `hold`."""
    guest = _start(guests, machine, append=(option,))
    drivers.BITMAP.load(guest)
    assert drivers.features(guest) & {HINTING, bitmap.FEATURE} == {HINTING}
    guest.wait_for_log("free_page_bitmap=1 refused")
    assert not bitmap.query(guest)["supported"]
    with hinting.round_done(guest):
        assert drivers.counters(guest)["strategy"] == "hold"
