# SPDX-License-Identifier: GPL-2.0
"""The host has caches dropped, as far as the guest allows it. Patched QEMU."""

import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tools.guest import bitmap, drivers, file_cache, hinting, situations, slab, tracing
from tools.guest.bitmap import ALL_CACHES, PAGE_CACHE, SLAB, Request
from tools.guest.initramfs import MODULES

DISK_MIB = 256
NOTHING, DROPPED, REFUSED, TOO_SOON, TIMEOUT = range(5)
# There when all is cached, and gone when it was dropped.
MUCH_KIB = DISK_MIB * 1024 * 9 // 10
LITTLE_KIB = DISK_MIB * 1024 // 10
MANY_NAMES = 15_000


@pytest.fixture(scope="module")
def guest(shared, machine):
    disks = (file_cache.disk(DISK_MIB),)
    return shared.start(replace(machine, balloon=drivers.BITMAP.balloon(), read_only_disks=disks))


@contextmanager
def _policy(guest, parameters):
    """The driver with these parameters, in a guest with full caches."""
    driver = replace(drivers.BITMAP, parameters=f"free_page_bitmap=1 {parameters}")
    driver.load(guest)
    file_cache.fill(guest)
    slab.fill(guest)
    assert file_cache.cached_kib(guest) > MUCH_KIB and slab.unused_names(guest) > MANY_NAMES
    try:
        yield
    finally:
        _unload(guest)


def _unload(guest):
    """The module stays as long as it is dropping caches, which nobody waits for."""
    hinting.wait_until(
        lambda: guest.agent.try_run("rmmod virtio_balloon_rs")[0] == 0, "the module goes"
    )


def _ask(guest, caches):
    request = Request(bitmap.fresh_id(), caches=caches, order=0, end_pfn=bitmap.memory_end(guest))
    reports = bitmap.exchange(guest, request)
    assert reports[-1].status == bitmap.DONE, reports
    # All reports to a request say the same.
    first = reports[0]
    said = [(report.caches, report.caches_result, report.dropped_pages) for report in reports]
    assert set(said) == {said[0]}
    return replace(
        first,
        set_bits=sum(report.set_bits for report in reports),
        nr_bits=sum(report.nr_bits for report in reports),
    )


def _check_untouched(guest):
    assert file_cache.cached_kib(guest) > MUCH_KIB
    assert slab.unused_names(guest) > MANY_NAMES


def test_nothing_asked(guest):
    with _policy(guest, "drop_caches=3"):
        report = _ask(guest, 0)
        assert (report.caches, report.caches_result, report.dropped_pages) == (0, NOTHING, 0)
        _check_untouched(guest)


def test_nothing_allowed(guest):
    """That is the default."""
    with _policy(guest, ""):
        for caches in (PAGE_CACHE, SLAB, ALL_CACHES):
            report = _ask(guest, caches)
            assert (report.caches, report.caches_result, report.dropped_pages) == (0, REFUSED, 0)
            # What is free without it is reported all the same.
            assert report.set_bits > 0
        _check_untouched(guest)
        assert bitmap.counter(guest, "drops") == 0


def test_page_cache_allowed(guest):
    with _policy(guest, "drop_caches=1 drop_caches_interval_s=0"):
        report = _ask(guest, SLAB)
        assert (report.caches, report.caches_result) == (0, REFUSED)
        _check_untouched(guest)
        # What is allowed of it is dropped.
        report = _ask(guest, ALL_CACHES)
        assert (report.caches, report.caches_result) == (PAGE_CACHE, REFUSED)
        assert file_cache.cached_kib(guest) < LITTLE_KIB
        assert slab.unused_names(guest) > MANY_NAMES
        file_cache.fill(guest)
        report = _ask(guest, PAGE_CACHE)
        assert (report.caches, report.caches_result) == (PAGE_CACHE, DROPPED)
        assert file_cache.cached_kib(guest) < LITTLE_KIB


def test_slab_allowed(guest):
    with _policy(guest, "drop_caches=2"):
        report = _ask(guest, SLAB)
        assert (report.caches, report.caches_result) == (SLAB, DROPPED)
        assert slab.unused_names(guest) < MANY_NAMES // 10
        assert file_cache.cached_kib(guest) > MUCH_KIB


def test_all_allowed(guest):
    """What was dropped is free in the same report, and its number is about right."""
    with _policy(guest, "drop_caches=3 drop_caches_interval_s=0"):
        before, cached = _ask(guest, 0), file_cache.cached_kib(guest)
        report = _ask(guest, ALL_CACHES)
        gone = (cached - file_cache.cached_kib(guest)) // 4
        freed = report.set_bits - before.set_bits
        print(f"{gone} pages less are cached, {report.dropped_pages} reported, {freed} more free")
        assert (report.caches, report.caches_result) == (ALL_CACHES, DROPPED)
        assert file_cache.cached_kib(guest) < LITTLE_KIB
        assert slab.unused_names(guest) < MANY_NAMES // 10
        assert gone > MUCH_KIB // 4 - LITTLE_KIB // 4
        assert abs(report.dropped_pages - gone) < gone // 4
        assert freed > gone * 3 // 4
        assert bitmap.counter(guest, "dropped_pages") == report.dropped_pages
        assert bitmap.counter(guest, "drops") == 1


def test_too_soon(guest):
    with _policy(guest, "drop_caches=3 drop_caches_interval_s=600"):
        assert _ask(guest, ALL_CACHES).caches_result == DROPPED
        file_cache.fill(guest)
        for _ in range(3):
            report = _ask(guest, ALL_CACHES)
            said = (report.caches, report.caches_result, report.dropped_pages)
            assert said == (0, TOO_SOON, 0)
        assert file_cache.cached_kib(guest) > MUCH_KIB


def test_again_after_the_interval(guest):
    interval = 3
    with _policy(guest, f"drop_caches=3 drop_caches_interval_s={interval}"):
        assert _ask(guest, ALL_CACHES).caches_result == DROPPED
        file_cache.fill(guest)
        time.sleep(interval + 0.5)
        assert _ask(guest, ALL_CACHES).caches_result == DROPPED
        assert file_cache.cached_kib(guest) < LITTLE_KIB


def test_slow_drop_does_not_hold_up_the_answer(guest):
    with _policy(guest, "drop_caches=3 drop_caches_interval_s=0 drop_caches_wait_ms=1"):
        with tracing.recording(guest) as recorded:
            report = _ask(guest, ALL_CACHES)
        dropped = recorded.one("cache_drop")
        assert (dropped["result"], dropped["dropped"]) == ("timeout", 0)
        assert dropped["balloon_pages"] == report.dropped_pages
        assert (report.caches, report.caches_result) == (0, TIMEOUT)
        assert report.set_bits > 0
        # As long as it goes on, it is too soon for another one. On a slow machine not even a drop
        # of next to nothing is over in time.
        assert _ask(guest, ALL_CACHES).caches_result in (TOO_SOON, TIMEOUT, DROPPED)
        hinting.wait_until(
            lambda: file_cache.cached_kib(guest) < LITTLE_KIB, "the drop ends without anybody"
        )


def test_unbind_in_the_middle(guest):
    """The device goes without waiting for the drop, whose result nobody wants any more."""
    with _policy(guest, "drop_caches=3 drop_caches_interval_s=0"):
        dropping = bitmap.ask(guest, caches="all")
        situations.unbind(guest, drivers.BITMAP)
        situations.bind(guest, drivers.BITMAP)
        last = bitmap.report(guest)
        assert last["id"] != dropping and last["free-blocks"] > 0


def test_unknown_value(guest):
    module = f"{MODULES}/{drivers.RUST_MODULE}"
    code, output = guest.agent.try_run(f"insmod {module} free_page_bitmap=1 drop_caches=4")
    assert code != 0 and "Invalid" in output, output
    guest.wait_for_log("drop_caches=4 is")


def test_qemu_asks(guest):
    """The same through QEMU's own command."""
    with _policy(guest, "drop_caches=3 drop_caches_interval_s=0"):
        last = bitmap.report(guest, caches="all", order=9)
        print(last)
        assert last["caches-result"] == "dropped"
        assert last["dropped-pages"] > MUCH_KIB // 4 - LITTLE_KIB // 4
