# SPDX-License-Identifier: GPL-2.0
"""The module comes and goes, and the driver is bound and unbound, a hundred times each.
Check kernel, with kmemleak."""

import time
from dataclasses import replace

import pytest

from tools.guest import balloon, contents, reporting, situations
from tools.guest.machine import Balloon

CYCLES = 100
KMEMLEAK = "/sys/kernel/debug/kmemleak"
EVERYTHING = Balloon(free_page_reporting=True, deflate_on_oom=True)


def _loaded(guest, driver):
    driver.unload(guest)
    driver.load(guest)


def _bound(guest, driver):
    situations.unbind(guest, driver)
    situations.bind(guest, driver)


@pytest.mark.parametrize("again", [_loaded, _bound], ids=["load", "bind"])
def test_again_and_again(guests, machine, driver, again):
    guest = guests.start(replace(machine, balloon=EVERYTHING, append=("kmemleak=on",)))
    agent = guest.agent
    reporting.set_delay(guest, 0)
    contents.keep(guest)
    before = situations.load(guest, driver)
    # What the boot and a first time leave behind is not the driver's.
    agent.run(f"echo scan > {KMEMLEAK}; echo clear > {KMEMLEAK}", deadline=200)

    for cycle in range(CYCLES):
        # In every other cycle there is something to do from the first moment.
        balloon.set_remaining(guest, 1000 if cycle % 2 else guest.machine.memory_mib)
        again(guest, driver)
        time.sleep((cycle % 5) * 0.005)

    balloon.deflate_all(guest)
    situations.check_works(guest)
    driver.unload(guest)
    situations.check_memory(guest, before)
    # kmemleak reports what it finds twice, and nothing younger than some seconds.
    for _ in range(2):
        time.sleep(6)
        agent.run(f"echo scan > {KMEMLEAK}", deadline=200)
    leaks = agent.read(KMEMLEAK)
    assert "unreferenced" not in leaks, leaks
    contents.check_kept(guest)
