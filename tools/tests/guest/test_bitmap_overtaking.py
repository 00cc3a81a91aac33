# SPDX-License-Identifier: GPL-2.0
"""A request is cancelled or overtaken while the driver looks for free pages. Patched QEMU.

Single pages of scattered memory, a page for each hold of the lock, take the driver long.
"""

from dataclasses import replace

import pytest

from tools.guest import bitmap, contents, drivers, hinting
from tools.guest.bitmap import CANCEL, CANCELLED, DONE, ERROR, Request

SLOW = replace(drivers.BITMAP, parameters="free_page_bitmap=1 free_page_walk_batch=1")
SCATTERED_MIB = 640
ATTEMPTS = 30


@pytest.fixture(scope="module")
def guest(shared, machine):
    found = shared.start(replace(machine, balloon=SLOW.balloon()))
    SLOW.load(found)
    hinting.scatter_free_memory(found, SCATTERED_MIB)
    return found


@pytest.fixture
def slow(guest):
    """A request that takes long. The driver is at it, in a guest that stands still until `cont()`:
    what is sent meanwhile comes before the end of it, however busy the host is.
    """
    end_pfn = bitmap.memory_end(guest)
    for _ in range(ATTEMPTS):
        bitmap.forget_answers(guest)
        request = Request(bitmap.fresh_id(), order=0, end_pfn=end_pfn)
        taken = bitmap.counter(guest, "requests")
        bitmap.send(guest, request)
        bitmap.wait_until_taken(guest, taken)
        guest.stand_still()
        if not any(report.final for report in bitmap.answers(guest)):
            yield request
            # Also after a test that failed before it did so.
            guest.cont()
            return
        guest.cont()
    raise AssertionError(f"{ATTEMPTS} requests were done at once")


def _final(reports):
    return {report.id: report.status for report in reports if report.final}


def _quick(slow, **changes):
    return replace(slow, id=bitmap.fresh_id(), order=9, **changes)


def test_stands_still(guest, slow):
    """And goes on."""
    guest.cont()
    assert _final(bitmap.wait_for_final(guest, deadline=120)) == {slow.id: DONE}


def test_newer_request_overtakes(guest, slow):
    newer = _quick(slow)
    bitmap.send(guest, newer)
    guest.cont()
    reports = bitmap.wait_for_final(guest, 2)
    assert _final(reports) == {slow.id: CANCELLED, newer.id: DONE}
    # Nothing comes of the old one after it has ended.
    assert [report.id for report in reports if report.final] == [slow.id, newer.id]
    assert reports[-1].set_bits > 0


@pytest.fixture
def cancelled(guest):
    """How many were cancelled, for a test that looks at it before it asks for `slow`."""
    return bitmap.counter(guest, "cancelled")


def test_cancel(guest, cancelled, slow):
    bitmap.send(guest, Request(slow.id, CANCEL, order=0))
    guest.cont()
    reports = bitmap.wait_for_final(guest)
    assert _final(reports) == {slow.id: CANCELLED}
    assert reports[-1].nr_bits == 0
    assert bitmap.counter(guest, "cancelled") == cancelled + 1
    # It is over: there is nothing left to cancel.
    (late,) = bitmap.exchange(guest, Request(slow.id, CANCEL, order=0))
    assert (late.status, late.error) == (ERROR, bitmap.E_ID)


def test_same_id_twice(guest, slow):
    """The second is refused, and the first goes on."""
    bitmap.send(guest, slow)
    guest.cont()
    reports = bitmap.wait_for_final(guest, 2, deadline=120)
    final = [(report.status, report.error) for report in reports if report.final]
    assert final == [(ERROR, bitmap.E_ID), (DONE, 0)]
    assert {report.id for report in reports} == {slow.id}


def test_bad_request_does_not_overtake(guest, slow):
    bad = _quick(slow, caches=0x80)
    bitmap.send(guest, bad)
    guest.cont()
    reports = bitmap.wait_for_final(guest, 2, deadline=120)
    assert _final(reports) == {bad.id: ERROR, slow.id: DONE}


def test_many_overtake(guest, slow):
    """Each overtakes the one before it, and the last one is served."""
    ids = [slow.id]
    for _ in range(50):
        newer = replace(slow, id=bitmap.fresh_id())
        bitmap.send(guest, newer)
        ids.append(newer.id)
    last = _quick(slow)
    bitmap.send(guest, last)
    guest.cont()
    reports = bitmap.wait_for_final(guest, len(ids) + 1, deadline=120)
    assert _final(reports) == {**dict.fromkeys(ids, CANCELLED), last.id: DONE}


def test_qemu_overtakes_itself(guest):
    """QEMU's own requests: its account of the old one is that of the new one now."""
    first = bitmap.ask(guest, order=0)
    last = bitmap.report(guest, order=9)
    assert last["id"] != first
    assert bitmap.query(guest)["bad-reports"] == 0


def test_guest_goes_on(guest, slow):
    """The guest works while the driver looks, and none of its memory is taken."""
    guest.cont()
    contents.churn(guest)
    guest.agent.call("min-free-start", period_ms=2)
    reports = bitmap.wait_for_final(guest, deadline=120)
    low = guest.agent.call("min-free-stop")
    contents.check_churn(guest)
    assert _final(reports) == {slow.id: DONE}
    # The driver takes no pages: what is missing is the churn's.
    assert low["min_kib"] > low["first_kib"] - (32 << 10)
