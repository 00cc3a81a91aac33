# SPDX-License-Identifier: GPL-2.0
"""What the bitmap says, next to what the guest's kernel says. Patched QEMU.

The guest does next to nothing meanwhile, and its CPUs keep as few free pages for themselves as the
kernel allows: those are neither in the free lists nor in use.
"""

import random
from dataclasses import replace

import pytest

from tools.guest import bitmap, buddy, drivers, hinting

# Pages that may come and go during a report, besides what is in the CPUs' lists.
FEW_PAGES = 512
SCATTERED_MIB = 256


@pytest.fixture(scope="module")
def guest(shared, machine):
    found = shared.start(replace(machine, balloon=drivers.BITMAP.balloon()))
    drivers.BITMAP.load(found)
    found.agent.run("echo 100000000 > /proc/sys/vm/percpu_pagelist_high_fraction")
    return found


@pytest.fixture(params=["idle", "scattered"])
def state(guest, request):
    if request.param == "scattered":
        hinting.scatter_free_memory(guest, SCATTERED_MIB)
    yield request.param
    if request.param == "scattered":
        guest.agent.call("drop", name="scattered")


def _free(guest, order, start_pfn=0, end_pfn=None):
    """Blocks that are reported in the window; QEMU counts the bits."""
    if end_pfn is None:
        end_pfn = bitmap.memory_end(guest)
    reports = bitmap.exchange(
        guest,
        bitmap.Request(bitmap.fresh_id(), order=order, start_pfn=start_pfn, end_pfn=end_pfn),
    )
    assert reports[-1].status == bitmap.DONE
    return reports, sum(report.set_bits for report in reports)


@pytest.mark.parametrize("order", [0, 3, 9, 10])
def test_all_that_is_free(guest, state, order):
    hinting.wait_until(lambda: hinting.cpu_lists_kib(guest) < 4096, "free pages settle")
    before = buddy.free_blocks(guest, order)
    _, reported = _free(guest, order)
    after = buddy.free_blocks(guest, order)
    print(f"{state}, order {order}: {before} free, {reported} reported, {after} free")
    # A page that is taken or given back meanwhile costs or makes one block of any order.
    few = max(8, FEW_PAGES >> order) + hinting.cpu_lists_kib(guest) // 4
    assert min(before, after) - few <= reported <= max(before, after) + few
    # If little is free there is nothing to compare.
    assert reported << order > 64 * 256


def test_pages_next_to_used_ones(guest):
    """Half of a region is given back page by page: nearly that much more is reported."""
    guest.agent.call("fill", 120, name="half", mib=SCATTERED_MIB, seed=98)
    _, before = _free(guest, 0)
    freed = guest.agent.call("thin", name="half", block=4096)["freed_bytes"] // 4096
    _, after = _free(guest, 0)
    guest.agent.call("drop", name="half")
    assert abs(after - before - freed) < FEW_PAGES + hinting.cpu_lists_kib(guest) // 4


@pytest.mark.parametrize(("order", "cut"), [(0, 1), (9, 1), (9, 511), (9, 512), (9, 513)])
def test_window_cuts_blocks(guest, order, cut):
    """Only blocks that lie whole within the window count."""
    end = bitmap.memory_end(guest)
    block = 1 << order
    reports, _ = _free(guest, order, cut, end - cut)
    first, last = -(-cut // block), (end - cut) // block
    assert reports[0].start_pfn == first * block
    assert sum(report.nr_bits for report in reports) == last - first


def test_window_goes_beyond_memory(guest):
    """A host need not know where the memory ends."""
    reports, _ = _free(guest, 9, 512, bitmap.MAX_PFN)
    assert reports[0].start_pfn == 512
    assert sum(report.nr_bits for report in reports) == (bitmap.memory_end(guest) >> 9) - 1


def test_window_smaller_than_a_block(guest):
    reports, reported = _free(guest, 9, 512 + 1, 1024 + 511)
    assert len(reports) == 1 and reports[0].nr_bits == 0 and reported == 0


@pytest.mark.parametrize("order", [0, 9])
def test_windows_add_up(guest, order):
    """A window is as much as its parts, wherever it is taken apart."""
    numbers = random.Random(77 + order)
    end = bitmap.memory_end(guest)
    cuts = sorted(numbers.randrange(1, end >> order) << order for _ in range(6))
    _, whole = _free(guest, order)
    parts = 0
    bits = 0
    for start, stop in zip([0, *cuts], [*cuts, end], strict=True):
        if start == stop:
            continue
        reports, reported = _free(guest, order, start, stop)
        parts += reported
        bits += sum(report.nr_bits for report in reports)
    assert bits == end >> order
    few = max(8, FEW_PAGES >> order) + hinting.cpu_lists_kib(guest) // 4
    print(f"order {order}: {whole} blocks in one window, {parts} in {len(cuts) + 1}")
    assert abs(parts - whole) <= few
