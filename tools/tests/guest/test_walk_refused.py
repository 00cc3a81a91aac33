# SPDX-License-Identifier: GPL-2.0
"""`walk` and `isolate` are refused where the guest relies on the content of free pages."""

from dataclasses import replace

import pytest

from tools.guest import drivers, hinting


@pytest.mark.parametrize("option", ["init_on_free=1", "page_poison=1"])
def test_walk_refused(guests, machine, option):
    guest = guests.start(replace(machine, append=(option,)))
    for driver, name in ((drivers.WALK, "walk"), (drivers.ISOLATE, "isolate")):
        driver.load(guest)
        guest.wait_for_log(f"free page hinting: {name} refused: the guest relies on the content")
        with hinting.round_done(guest):
            counted = drivers.counters(guest)
            assert counted["strategy"] == "hold"
            assert counted["held_pages"] > 0
        driver.unload(guest)
