# SPDX-License-Identifier: GPL-2.0
"""Requests that are wrong get the error that the specification has for it, and do nothing else.
Patched QEMU, whose test command sends any request as it is."""

from dataclasses import replace

import pytest

from tools.guest import bitmap, contents, drivers, hinting
from tools.guest.bitmap import (
    CANCEL,
    E_CACHES,
    E_ID,
    E_ORDER,
    E_RESERVED,
    E_SIZE,
    E_TYPE,
    E_WINDOW,
    MAX_PFN,
    Request,
)

# A window in the middle of the guest's memory.
GOOD = Request(id=0x7000_0000, start_pfn=1 << 14, end_pfn=1 << 17)
LARGEST_ORDER = 10
U64 = (1 << 64) - 1
MANY = 3000
# What the driver may say in the log about one or many of them.
FEW_LINES = 12


def _bad(**changes):
    return replace(GOOD, **changes)


def _cancel(**changes):
    nothing = Request(id=0x7000_0001, type=CANCEL, order=0)
    return replace(nothing, **changes)


# The error, and the request. If more than one thing is wrong, it is the first one that counts:
# size, type, fields that have to be 0, id, caches, order, window.
CASES = {
    "type-0": (E_TYPE, _bad(type=0)),
    "type-3": (E_TYPE, _bad(type=3)),
    "type-255": (E_TYPE, _bad(type=255)),
    "type-before-reserved": (E_TYPE, _bad(type=9, flags=1, reserved=1)),
    "flags-2": (E_RESERVED, _bad(flags=2)),
    "flags-3": (E_RESERVED, _bad(flags=3)),
    "flags-255": (E_RESERVED, _bad(flags=255)),
    "reserved-1": (E_RESERVED, _bad(reserved=1)),
    "reserved-high": (E_RESERVED, _bad(reserved=1 << 63)),
    "reserved-before-id": (E_RESERVED, _bad(reserved=U64, id=0)),
    "id-0": (E_ID, _bad(id=0)),
    "id-before-caches": (E_ID, _bad(id=0, caches=0xFF)),
    "caches-4": (E_CACHES, _bad(caches=4)),
    "caches-7": (E_CACHES, _bad(caches=7)),
    "caches-255": (E_CACHES, _bad(caches=0xFF)),
    "caches-before-order": (E_CACHES, _bad(caches=0x80, order=200)),
    "order-11": (E_ORDER, _bad(order=LARGEST_ORDER + 1)),
    "order-63": (E_ORDER, _bad(order=63)),
    "order-64": (E_ORDER, _bad(order=64)),
    "order-255": (E_ORDER, _bad(order=255)),
    "order-before-window": (E_ORDER, _bad(order=52, start_pfn=9, end_pfn=3)),
    "window-zero": (E_WINDOW, _bad(start_pfn=0, end_pfn=0)),
    "window-empty": (E_WINDOW, _bad(end_pfn=GOOD.start_pfn)),
    "window-backwards": (E_WINDOW, _bad(start_pfn=1 << 17, end_pfn=1 << 14)),
    "window-backwards-by-1": (E_WINDOW, _bad(end_pfn=GOOD.start_pfn - 1)),
    "window-beyond-memory": (E_WINDOW, _bad(start_pfn=MAX_PFN - 1024, end_pfn=MAX_PFN)),
    "window-end-too-far": (E_WINDOW, _bad(end_pfn=MAX_PFN + 1)),
    "window-end-largest": (E_WINDOW, _bad(end_pfn=U64)),
    "window-all-ones": (E_WINDOW, _bad(start_pfn=U64, end_pfn=U64)),
    "cancel-unknown": (E_ID, _cancel()),
    "cancel-id-0": (E_ID, _cancel(id=0)),
    "cancel-caches": (E_RESERVED, _cancel(caches=1)),
    "cancel-order": (E_RESERVED, _cancel(order=9)),
    "cancel-flags": (E_RESERVED, _cancel(flags=1)),
    "cancel-start": (E_RESERVED, _cancel(start_pfn=1)),
    "cancel-end": (E_RESERVED, _cancel(end_pfn=1)),
    "cancel-reserved": (E_RESERVED, _cancel(reserved=1)),
}


@pytest.fixture(scope="module")
def guest(shared, machine):
    found = shared.start(replace(machine, memory_mib=512, balloon=drivers.BITMAP.balloon()))
    contents.keep(found)
    drivers.BITMAP.load(found)
    yield found
    contents.check_kept(found)


@pytest.fixture(autouse=True)
def _unharmed(guest):
    """However it goes, the log stays short, the memory is there, and a good request is served."""
    lines = guest.log().count("\n")
    free = hinting.free_kib(guest)
    yield
    assert guest.log().count("\n") - lines <= FEW_LINES
    (report,) = bitmap.exchange(guest, replace(GOOD, id=bitmap.fresh_id()))
    assert report.status == bitmap.DONE and report.set_bits > 0
    hinting.wait_for_free(guest, free)


def _check_refused(report, error):
    assert (report.status, report.error) == (bitmap.ERROR, error)
    assert report.nr_bits == report.bitmap_bytes == report.start_pfn == 0
    assert report.caches == report.caches_result == report.dropped_pages == 0
    assert report.flags == report.reserved == 0


@pytest.mark.parametrize(("error", "request_"), CASES.values(), ids=CASES)
def test_refused(guest, error, request_):
    refused = bitmap.counter(guest, "refused")
    (report,) = bitmap.exchange(guest, request_)
    _check_refused(report, error)
    assert report.id == request_.id
    if error == E_ORDER:
        assert report.order == LARGEST_ORDER
    assert bitmap.counter(guest, "refused") == refused + 1


@pytest.mark.parametrize("length", [0, 1, 3, 4, 8, 16, 31, 33, 0xFFFF_FFFF])
def test_wrong_size(guest, length):
    """The device says that it wrote less or more than a request."""
    request = replace(GOOD, id=bitmap.fresh_id())
    (report,) = bitmap.exchange(guest, request, length)
    _check_refused(report, E_SIZE)
    # There is an id as soon as all of it was written.
    assert report.id == (request.id if length >= 4 else 0)


def test_many_at_once(guest):
    """Each one is answered, in order, and the log is not full of them."""
    bitmap.forget_answers(guest)
    first = 0x5000_0000
    bitmap.send(guest, _bad(id=first, type=77), count=MANY)
    reports = bitmap.wait_for_final(guest, MANY, deadline=120)
    assert [report.id for report in reports] == list(range(first, first + MANY))
    for report in reports:
        _check_refused(report, E_TYPE)


def test_many_good_ones_at_once(guest):
    """Each overtakes the one before it if that is not done yet; none is lost."""
    bitmap.forget_answers(guest)
    first = 0x6000_0000
    bitmap.send(guest, replace(GOOD, id=first), count=MANY)
    reports = bitmap.wait_for_final(guest, MANY, deadline=120)
    final = {report.id: report.status for report in reports if report.final}
    assert final.keys() == set(range(first, first + MANY))
    assert set(final.values()) <= {bitmap.DONE, bitmap.CANCELLED}
    assert final[first + MANY - 1] == bitmap.DONE
