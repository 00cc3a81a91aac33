# SPDX-License-Identifier: GPL-2.0
"""What a driver may do only when the device has DRIVER_OK. Check kernel.

The C driver tells the host about statistics, and can report free pages, before that:
test_c_deviations.py.
"""

from dataclasses import replace

import pytest

from tools.guest import balloon, hinting, reporting, stats, suspend, trace
from tools.guest.machine import Balloon


def _start(guests, machine):
    guest = guests.start(replace(machine, balloon=Balloon(free_page_reporting=True)))
    # The kernel calls whoever registers at once.
    reporting.set_delay(guest, 0)
    return guest


def _since_reset(guest):
    """What the driver did since it was given the device last."""
    events = guest.balloon_events()
    resets = [i for i, event in enumerate(events) if event == trace.Event("status", 0)]
    return events[resets[-1] :]


def _check_queues_work(guest):
    """Every queue is used: what was made available before DRIVER_OK is not forgotten."""
    assert stats.fresh(guest).values
    assert hinting.one_round(guest).segments > 0
    reporting.check_reports(guest)
    balloon.inflate_to(guest, 600)
    balloon.deflate_all(guest)


def _check_order(guest, driver):
    events = _since_reset(guest)
    live = events.index(trace.Event("status", 15))
    early = [event for event in events[:live] if event.kind != "status"]
    allowed = [] if driver.is_rust else [trace.Event("notify", queue) for queue in (2, 4)]
    assert [event for event in early if event not in allowed] == []


@pytest.mark.kasan
def test_probe(guests, machine, driver):
    guest = _start(guests, machine)
    # Everything there is to do is there from the first moment.
    balloon.set_remaining(guest, 700)
    driver.load(guest)
    balloon.wait_for_actual(guest, 700)
    _check_order(guest, driver)
    _check_queues_work(guest)


@pytest.mark.kasan
def test_restore(guests, machine, driver):
    guest = _start(guests, machine)
    driver.load(guest)
    balloon.inflate_to(guest, 700)
    suspend.cycle_devices(guest)
    balloon.wait_for_actual(guest, 700)
    _check_order(guest, driver)
    _check_queues_work(guest)
