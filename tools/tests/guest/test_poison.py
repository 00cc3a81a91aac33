# SPDX-License-Identifier: GPL-2.0
"""What a guest that relies on the content of free pages tells the host. Check kernel."""

from dataclasses import replace

import pytest

from tools.guest import balloon, contents, drivers, hinting, reporting
from tools.guest.machine import Balloon

POISON = 0xAAAAAAAA
# Feature bits of the device.
PAGE_POISON, PAGE_REPORTING = 4, 5


def _start(guests, machine, option, page_poison=True):
    return guests.start(
        replace(
            machine,
            balloon=Balloon(free_page_reporting=True, page_poison=page_poison),
            append=(option,) if option else (),
            trace=reporting.TRACE,
        )
    )


def _free_some(guest, name="freed"):
    guest.agent.call("fill", 120, name=name, mib=256, seed=75, huge=True)
    guest.agent.call("drop", name=name)


@pytest.mark.parametrize(
    ("option", "value"), [("page_poison=1", POISON), ("init_on_free=1", 0)]
)
def test_value_before_driver_ok(guests, machine, driver, option, value):
    guest = _start(guests, machine, option)
    reporting.set_delay(guest, 0)
    with reporting.watch_writes(guest):
        driver.load(guest)
    assert drivers.features(guest) >= {PAGE_POISON, PAGE_REPORTING}
    assert reporting.poison_writes(guest.trace_log) == [(value, False)]
    assert reporting.poison_value(guest) == value
    # Both options check or clear what is allocated again: the log would show it.
    contents.keep(guest)
    for _ in range(3):
        _free_some(guest)
        hinting.wait_until(lambda: reporting.reports(guest) > 0, "free pages are reported")
    balloon.inflate_to(guest, 400)
    balloon.deflate_all(guest)
    _free_some(guest)
    contents.check_kept(guest)


@pytest.mark.parametrize("option", ["page_poison=1", "init_on_free=1"])
def test_no_reports_without_the_value(guests, machine, driver, option):
    """A host that cannot be told the value would return zeroes, or anything."""
    guest = _start(guests, machine, option, page_poison=False)
    reporting.set_delay(guest, 0)
    driver.load(guest)
    assert not drivers.features(guest) & {PAGE_POISON, PAGE_REPORTING}
    _free_some(guest)
    balloon.inflate_to(guest, 700)
    assert reporting.reports(guest) == 0
    assert all(block.size == reporting.PAGE for block in reporting.blocks(guest))


def test_no_value_without_need(guests, machine, driver):
    guest = _start(guests, machine, option=None)
    reporting.set_delay(guest, 0)
    with reporting.watch_writes(guest):
        driver.load(guest)
    assert drivers.features(guest) & {PAGE_POISON, PAGE_REPORTING} == {PAGE_REPORTING}
    assert reporting.poison_writes(guest.trace_log) == []
    reporting.check_reports(guest)
