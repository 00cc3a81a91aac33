# SPDX-License-Identifier: GPL-2.0
"""What the free page bitmap asks for fails once, each time something else. Patched QEMU."""

from dataclasses import replace

import pytest

from tools.guest import bitmap, contents, drivers, faults, paths, situations, tracing

DRIVER = replace(drivers.BITMAP_DROP, caches="none")
# The first ones are the driver's, what comes then is that of dropping itself.
FIRST = range(1, 13)
DROPPED, FAILED = 1, 5


@pytest.fixture
def guest(guests, machine):
    return _start(guests, machine)


def _start(guests, machine):
    found = guests.start(replace(machine, balloon=DRIVER.balloon()))
    contents.keep(found)
    found.before = situations.load(found, DRIVER)
    return found


def _is_bound(guest):
    return guest.agent.try_run(f"ls -d {DRIVER.sysfs}/virtio*")[0] == 0


def _ask(guest, caches=0):
    request = bitmap.Request(
        bitmap.fresh_id(), caches=caches, order=0, end_pfn=bitmap.memory_end(guest)
    )
    report = bitmap.exchange(guest, request)[-1]
    assert (report.id, report.status) == (request.id, bitmap.DONE)
    return report


def _check_mended(guest):
    situations.check_memory(guest, guest.before)
    situations.bind(guest, DRIVER)
    assert _ask(guest).set_bits > 0
    situations.unbind(guest, DRIVER)
    situations.check_memory(guest, guest.before)
    contents.check_kept(guest)


def test_bind(guest):
    """Whatever memory is missing, the driver is bound and answers, or is not bound."""
    faults.restrict_to(guest, DRIVER)
    (device,) = guest.balloons()
    situations.unbind(guest, DRIVER)

    def attempt(nth):
        fault, code = faults.in_task(guest, nth, f"echo {device} > {DRIVER.sysfs}/bind")
        assert _is_bound(guest) == (code == 0)
        if code == 0:
            _ask(guest)
            situations.unbind(guest, DRIVER)
        return fault.happened

    count = faults.each(attempt)
    print(f"{count} requests for memory")
    assert count > 20
    _check_mended(guest)


def test_virtqueues(guests, machine, flavour):
    """Whatever fails once is tried again: the answer comes."""
    # Only the build with KUnit suites can fail them.
    modules = {DRIVER.module: paths.lookup(f"MODULE_{flavour.upper()}_KUNIT")}
    guest = _start(guests, replace(machine, modules=modules))
    (device,) = guest.balloons()
    situations.unbind(guest, DRIVER)

    def attempt(nth):
        with faults.armed(guest, faults.QUEUES, nth) as fault:
            code, _ = guest.agent.try_run(f"echo {device} > {DRIVER.sysfs}/bind")
            if code == 0:
                _ask(guest)
                _ask(guest, bitmap.ALL_CACHES)
        if code == 0:
            situations.unbind(guest, DRIVER)
        return fault.happened

    count = faults.each(attempt)
    print(f"{count} operations")
    assert count > 5
    _check_mended(guest)


def test_drop(guest):
    """Without memory for it no caches are dropped, and the report says so."""
    faults.restrict_to(guest, DRIVER)
    results = []
    with tracing.recording(guest) as recorded:
        for nth in FIRST:
            with faults.armed(guest, faults.SLAB, nth):
                report = _ask(guest, bitmap.ALL_CACHES)
            assert report.set_bits > 0
            assert report.caches == (bitmap.ALL_CACHES if report.caches_result == DROPPED else 0)
            results.append(report.caches_result)
        results.append(_ask(guest, bitmap.ALL_CACHES).caches_result)
    print(results)
    assert set(results) == {DROPPED, FAILED}
    words = {DROPPED: "dropped", FAILED: "failed"}
    traced = [drop["result"] for drop in recorded.of("cache_drop")]
    assert traced == [words[result] for result in results]
    situations.unbind(guest, DRIVER)
    _check_mended(guest)
