# SPDX-License-Identifier: GPL-2.0
"""A module that cannot isolate, as all are that are built for a kernel without our patches.
Check kernel, patched QEMU for the bitmap."""

from dataclasses import replace

import pytest

from tools.guest import bitmap, drivers, hinting, paths
from tools.guest.machine import Balloon

REFUSED = "free page hinting: isolate refused: this kernel does not let a driver isolate"
HOLDS = "free page hinting: hold, order 9"


@pytest.fixture
def machine(machine):
    modules = {drivers.RUST_MODULE: paths.lookup("MODULE_CHECK_UNPATCHED")}
    return replace(machine, modules=modules, memory_mib=512)


def _check_holds(guest):
    with hinting.round_done(guest):
        counted = drivers.counters(guest)
        assert counted["strategy"] == "hold"
        assert counted["held_pages"] > 0


def test_hinting_holds(guests, machine):
    guest = guests.start(machine)
    guest.insmod(drivers.RUST_MODULE)
    guest.wait_for_log(HOLDS)
    # Nobody has asked for more than there is.
    assert "refused" not in guest.log()
    _check_holds(guest)
    drivers.ISOLATE.unload(guest)
    drivers.ISOLATE.load(guest)
    guest.wait_for_log(REFUSED)
    assert guest.log().count(HOLDS) == 2
    _check_holds(guest)


def test_no_isolated_blocks_for_the_bitmap(guests, machine):
    guest = guests.start(replace(machine, balloon=Balloon(bitmap=True)))
    drivers.BITMAP.load(guest)
    guest.wait_for_log("free page bitmap: on")
    assert "isolated blocks" not in guest.log()
    window = {"end_pfn": bitmap.memory_end(guest)}
    (report,) = bitmap.exchange(
        guest, bitmap.Request(bitmap.fresh_id(), flags=bitmap.ISOLATED, **window)
    )
    assert (report.status, report.error, report.flags) == (bitmap.ERROR, bitmap.E_ISOLATED, 0)
    last = bitmap.ended(guest, bitmap.ask_to_discard(guest))
    assert (last["status"], last["error"]) == ("error", "isolated")
    assert last["discarded-bytes"] == last["free-blocks"] == 0
    # Without the flag it goes on.
    assert bitmap.report(guest)["free-blocks"] > 0
    assert bitmap.query(guest)["bad-reports"] == 0
