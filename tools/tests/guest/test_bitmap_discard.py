# SPDX-License-Identifier: GPL-2.0
"""The host discards free blocks while they are isolated. Check kernel, patched QEMU."""

from dataclasses import replace

import pytest

from tools.guest import bitmap, contents, drivers, file_cache, isolation, migration
from tools.guest.bitmap import DONE, ERROR, ISOLATED, MORE, Request

DIRTIED_MIB = 384
CACHED_MIB = 64
# What the guest may use again before one looks.
SLACK_MIB = 24


@pytest.fixture(scope="module")
def guest(shared, machine):
    disks = (file_cache.disk(CACHED_MIB),)
    device = drivers.BITMAP_DROP.balloon()
    found = shared.start(replace(machine, balloon=device, read_only_disks=disks))
    # Free pages in the CPUs' own lists are not to be had: as few as the kernel allows.
    found.agent.run("echo 100000000 > /proc/sys/vm/percpu_pagelist_high_fraction")
    contents.keep(found)
    drivers.BITMAP_DROP.load(found)
    found.wait_for_log("free page bitmap: on, isolated blocks as well")
    yield found
    contents.check_kept(found)
    assert bitmap.query(found)["bad-reports"] == 0


@pytest.fixture(autouse=True)
def _adds_up(guest):
    """However it goes, all that was isolated is free again."""
    before = isolation.account(guest)
    yield
    isolation.wait_until_put_back(guest)
    isolation.check_adds_up(guest, before)


def _dirty_and_free(guest, seed):
    guest.agent.call("fill", 120, name="dirtied", mib=DIRTIED_MIB, seed=seed, huge=True)
    guest.agent.call("drop", name="dirtied")


def _resident_mib(guest):
    return guest.resident_kib() >> 10


def test_resident_memory_falls(guest):
    bitmap.discard(guest)
    clean = _resident_mib(guest)
    for seed in range(2):
        _dirty_and_free(guest, seed)
        dirty = _resident_mib(guest)
        bound, free = isolation.bound_kib(guest), guest.agent.mem_free_kib()
        guest.agent.call("min-free-start", period_ms=1)
        last = bitmap.discard(guest)
        lowest = guest.agent.call("min-free-stop")["min_kib"]
        after = _resident_mib(guest)
        print(f"{clean} MiB resident, {dirty} dirtied, {after} discarded, {last}, {free}, {lowest}")
        assert dirty - clean > DIRTIED_MIB - SLACK_MIB
        assert dirty - after > DIRTIED_MIB - SLACK_MIB
        # All that was free and in huge blocks was discarded, in several parts.
        assert last["isolated"]
        assert last["discarded-bytes"] == last["free-bytes"] == last["free-blocks"] << 21
        assert last["discarded-bytes"] >> 10 > 0.9 * free
        assert last["reports"] >= 4
        assert free - lowest <= bound + (SLACK_MIB << 10)
    assert 0 < isolation.counter(guest, "pages_max") * 4 <= bound + (SLACK_MIB << 10)


def test_huge_blocks_are_there_as_before(guest):
    before = isolation.account(guest)
    for _ in range(10):
        bitmap.discard(guest)
    isolation.wait_until_put_back(guest)
    isolation.check_huge_blocks(guest, before)


def test_what_is_used_stays(guest):
    """Memory that comes and goes is compared all the time."""
    contents.churn(guest, mib_per_s=64)
    discarded = 0
    for order in (9, 0, 10, 3, 9):
        last = bitmap.discard(guest, order=order)
        discarded += last["discarded-bytes"]
        assert last["reports"] > 1
    contents.check_churn(guest)
    assert discarded > guest.machine.memory_mib << 20


def test_caches_are_dropped_first(guest):
    """What was dropped is free then, and discarded with the rest."""
    file_cache.fill(guest)
    bitmap.discard(guest)
    assert file_cache.cached_kib(guest) >= CACHED_MIB << 10
    before = _resident_mib(guest)
    last = bitmap.discard(guest, caches="page-cache")
    after = _resident_mib(guest)
    print(f"{before} MiB resident with the cache, {after} without, {last}")
    assert last["caches"] == "page-cache"
    assert before - after > CACHED_MIB // 2


def test_reports_say_that_blocks_are_isolated(guest):
    """Field by field; QEMU's test command looks at them and gives them back at once."""
    end = bitmap.memory_end(guest)
    request = Request(bitmap.fresh_id(), flags=ISOLATED, end_pfn=end)
    reports = bitmap.exchange(guest, request)
    assert [report.status for report in reports] == [MORE] * (len(reports) - 1) + [DONE]
    assert {report.flags for report in reports} == {ISOLATED}
    assert len(reports) >= 4
    position = 0
    for report in reports:
        assert report.start_pfn == position
        # A part of the window is ended early only for what is in it.
        assert report.set_bits > 0 or report.status == DONE
        position += report.nr_bits << 9
    assert position == end >> 9 << 9
    # Not what was asked for in another request.
    (plain,) = bitmap.exchange(guest, replace(request, id=bitmap.fresh_id(), flags=0))
    assert (plain.status, plain.flags) == (DONE, 0)
    few = 8
    assert abs(sum(report.set_bits for report in reports) - plain.set_bits) <= few


def test_snapshot_is_smaller(guest, logs):
    """Of a guest that is stopped: nobody can be asked what is free then."""
    sizes = []
    _dirty_and_free(guest, 3)
    for name in ("before", "after"):
        if name == "after":
            bitmap.discard(guest)
        guest.stand_still()
        snapshot = logs / name
        migration.to_uri(guest, f"file:{snapshot}")
        sizes.append(snapshot.stat().st_size >> 20)
        snapshot.unlink()
        guest.cont()
    print(f"{sizes} MiB")
    assert sizes[0] - sizes[1] > DIRTIED_MIB - SLACK_MIB


def test_newer_request_overtakes(guest):
    for _ in range(5):
        bitmap.ask_to_discard(guest, order=0)
        last = bitmap.report(guest)
        assert last["free-blocks"] > 0 and last["discarded-bytes"] == 0
    # One after another, each of which ends the one before it.
    for _ in range(20):
        bitmap.ask_to_discard(guest, order=0)
    assert bitmap.discard(guest)["discarded-bytes"] > 0


def test_cancel(guest):
    request = Request(bitmap.fresh_id(), order=0, flags=ISOLATED, end_pfn=bitmap.memory_end(guest))
    bitmap.forget_answers(guest)
    bitmap.send(guest, request)
    bitmap.send(guest, Request(request.id, bitmap.CANCEL, order=0))
    final = [report for report in bitmap.wait_for_final(guest) if report.final]
    assert final[0].status in (DONE, bitmap.CANCELLED), final
    if final[0].status == bitmap.CANCELLED:
        assert final[0].flags == 0
    else:
        # Too late: there is nothing left to cancel.
        (report,) = bitmap.wait_for_final(guest, 2)[-1:]
        assert (report.status, report.error) == (ERROR, bitmap.E_ID)


def test_pause_ends_it(guest):
    """A guest that is stopped keeps what it has, and takes the blocks back when it runs."""
    for _ in range(5):
        number = bitmap.ask_to_discard(guest, order=0)
        guest.stand_still()
        guest.cont()
        last = bitmap.ended(guest, number)
        assert last["status"] in ("done", "cancelled"), last
    assert bitmap.discard(guest)["discarded-bytes"] > 0
