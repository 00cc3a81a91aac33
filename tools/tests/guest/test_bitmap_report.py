# SPDX-License-Identifier: GPL-2.0
"""One request and what comes back: no more than it takes, however much is free. Patched QEMU."""

from dataclasses import replace

import pytest

from tools.guest import bitmap, drivers, hinting

MEMORY_MIB = 1024
SCATTERED_MIB = 384


@pytest.fixture(scope="module")
def guest(shared, machine):
    found = shared.start(replace(machine, memory_mib=MEMORY_MIB, balloon=drivers.BITMAP.balloon()))
    drivers.BITMAP.load(found)
    return found


def _exchange(guest, order):
    """All reports to a request for all memory, and what the driver counted for it."""
    before = bitmap.counters(guest)
    request = bitmap.Request(bitmap.fresh_id(), order=order, end_pfn=bitmap.memory_end(guest))
    reports = bitmap.exchange(guest, request)
    after = bitmap.counters(guest)
    used = {name: after[name] - before[name] for name in ("requests", "reports", "notifications")}
    print(f"order {order}: {[report.nr_bits for report in reports]} bits, {used}")
    assert used["requests"] == 1
    assert used["reports"] == len(reports)
    assert {report.id for report in reports} == {request.id}
    return reports, used


def _check(reports, order, end_pfn):
    """Together they are the window, and none could have been left out."""
    assert {report.order for report in reports} == {order}
    statuses = [report.status for report in reports]
    assert statuses == [bitmap.MORE] * (len(reports) - 1) + [bitmap.DONE]
    position = 0
    for report in reports:
        assert report.start_pfn == position
        assert 0 <= report.set_bits <= report.nr_bits
        assert report.flags == report.reserved == report.error == 0
        assert report.bitmap_bytes == -(-report.nr_bits // 64) * 8
        position += report.nr_bits << order
    assert position >> order == end_pfn >> order
    # All but the last are full, so there cannot be more than ceil(all bits / those of one).
    full = reports[0].nr_bits
    assert all(report.nr_bits == full for report in reports[:-1])
    assert len(reports) == -(-(end_pfn >> order) // full)


def test_one_report_for_blocks(guest):
    reports, used = _exchange(guest, 9)
    _check(reports, 9, bitmap.memory_end(guest))
    assert len(reports) == 1
    # The request's buffer is given back, too.
    assert used["notifications"] <= 2


def test_pages(guest):
    reports, _ = _exchange(guest, 0)
    _check(reports, 0, bitmap.memory_end(guest))


def test_large_guest_takes_several(guests, machine):
    """More pages than fit into one report; most of the memory is never touched."""
    guest = guests.start(replace(machine, memory_mib=6144, balloon=drivers.BITMAP.balloon()))
    drivers.BITMAP.load(guest)
    reports, _ = _exchange(guest, 0)
    _check(reports, 0, bitmap.memory_end(guest))
    assert len(reports) > 1
    # What is behind the first report was looked at, too.
    assert reports[-1].set_bits > 0


@pytest.mark.parametrize("order", [0, 9])
def test_notifications_do_not_depend_on_blocks(guest, order):
    few, idle = _exchange(guest, order)
    hinting.scatter_free_memory(guest, SCATTERED_MIB)
    try:
        many, scattered = _exchange(guest, order)
    finally:
        guest.agent.call("drop", name="scattered")
    # The guest's free memory did change: every second page of that is in use.
    free = [sum(report.set_bits << order for report in reports) for reports in (few, many)]
    assert free[0] - free[1] > SCATTERED_MIB * 256 * 2 // 5, free
    assert scattered == idle


def test_qemu_asks(guest):
    """The same through QEMU's own command, with its account of it."""
    before = bitmap.query(guest)
    assert before["supported"]
    last = bitmap.report(guest, order=9)
    after = bitmap.query(guest)
    assert after["requests"] - before["requests"] == 1
    assert after["reports"] - before["reports"] == last["reports"] == 1
    assert after["stale-reports"] == before["stale-reports"]
    assert after["bad-reports"] == before["bad-reports"] == 0
    assert last["free-bytes"] == last["free-blocks"] << 21
    assert last["free-blocks"] <= last["bits"]
    assert not last["for-migration"]
