# SPDX-License-Identifier: GPL-2.0
"""Hinting with isolated blocks: what it takes from the guest, and that it all comes back.
Check kernel, any QEMU."""

import time

import pytest

from tools.guest import drivers, hinting, isolation, migration, stopped_thread, vmstat
from tools.guest.agent import AgentSilent

ROUNDS = 5
CYCLES = 40
HUGE_MIB = 512
# What the guest itself may take meanwhile.
SLACK_KIB = 4096
# Neither filled nor counted on: page tables, kernel, what the watermarks keep.
SPARE_MIB = 96
# The kernel asks the driver to wait for the host for so long before it kills somebody.
OOM_WAIT_S = 1.0


@pytest.fixture(scope="module")
def guest(shared, machine):
    """The driver with no parameters."""
    found = shared.start(machine)
    found.insmod(drivers.RUST_MODULE)
    found.wait_for_log("free page hinting: isolate, order 9")
    yield found
    assert vmstat.event(found, "oom_kill") == 0


@pytest.mark.arm64_4k
def test_round(guest):
    before = isolation.account(guest)
    bound, free = isolation.bound_kib(guest), guest.agent.mem_free_kib()
    first, hints = isolation.counters(guest), drivers.counters(guest)
    guest.agent.call("min-free-start", period_ms=1)
    with hinting.round_done(guest) as traffic:
        # Before the host says DONE.
        isolation.wait_until_put_back(guest)
        lowest = guest.agent.call("min-free-stop")
        counted = drivers.counters(guest)
    isolated = isolation.counters(guest)
    print(f"bound {bound} KiB, {lowest}, {isolated}, {counted}")
    assert counted["strategy"] == "isolate"
    for name in ("requests", "completed"):
        assert counted[name] == hints[name] + 1
    assert counted["elements"] - hints["elements"] == traffic.elements
    hinted = counted["pages"] - hints["pages"]
    # Pages that are free at or above the target order: nearly all of an idle guest's.
    assert hinted * 4 >= 0.9 * before.free_kib
    # Each of them was isolated, once, and nothing was allocated.
    assert isolated["isolated_pages"] - first["isolated_pages"] == hinted
    assert counted["held_pages"] == counted["allocated_blocks"] == 0
    # A part at a time: in no fewer than four parts there could not be more than the bound.
    assert 0 < isolated["pages_max"] * 4 <= bound + SLACK_KIB
    # Seen from outside as well.
    assert free - lowest["min_kib"] <= bound + SLACK_KIB
    isolation.check_adds_up(guest, before)
    isolation.check_huge_blocks(guest, before)


@pytest.mark.arm64_4k
def test_more_rounds_lose_nothing(guest):
    before = isolation.account(guest)
    for _ in range(ROUNDS):
        again = hinting.one_round(guest)
        assert again.ids == 2
        assert again.segments > 0
    isolation.wait_until_put_back(guest)
    isolation.check_adds_up(guest, before)
    isolation.check_huge_blocks(guest, before)


def test_cancelled_at_every_stage(guest):
    before = isolation.account(guest)
    requests = drivers.counter(guest, "requests")
    for cycle in range(CYCLES):
        hinting.start(guest)
        # From at once to well after the end of a round.
        time.sleep((cycle % 20) * 0.001)
        migration.cancel(guest)
    # A fast guest may be done each time before the host looks; with a slow host it is not.
    interrupted = drivers.counter(guest, "interrupted")
    with stopped_thread.stopped_iothread(guest):
        hinting.start(guest)
        hinting.wait_until(lambda: isolation.counter(guest, "pages") > 0, "pages are isolated")
        migration.cancel(guest)
    hinting.wait_until(
        lambda: drivers.counter(guest, "interrupted") > interrupted, "the round is cut short"
    )
    isolation.wait_until_put_back(guest)
    isolation.check_adds_up(guest, before)
    counted = drivers.counters(guest)
    print(counted)
    assert counted["requests"] - requests >= CYCLES // 10
    assert hinting.one_round(guest).segments > 0


def _huge_kib(guest):
    """Of a large region, what the kernel has huge pages for; the region is gone afterwards."""
    guest.agent.call("fill", 120, name="huge", mib=HUGE_MIB, seed=22, huge=True)
    found = guest.agent.meminfo()["AnonHugePages"]
    guest.agent.call("drop", name="huge")
    return found


def test_huge_pages_are_there_as_before(guest):
    before = _huge_kib(guest)
    assert before > HUGE_MIB << 9, "less than half in huge pages: there is nothing to see"
    for _ in range(ROUNDS):
        hinting.one_round(guest)
    assert _huge_kib(guest) == before


def _answer(guest, number):
    """The answer to what the guest was told to do, or none yet."""
    try:
        return guest.agent.answer(number, 0.01)
    except AgentSilent:
        return None


def test_pressure(guest):
    """Nearly all memory is allocated while one round follows the other."""
    before = isolation.account(guest)
    bound = isolation.bound_kib(guest)
    mib = guest.agent.meminfo()["MemAvailable"] // 1024 - SPARE_MIB
    first = isolation.counter(guest, "isolated_pages")
    # Out of memory and failed allocations show in the log, which is checked at the end.
    number = guest.agent.post("fill", name="pressure", mib=mib, seed=21)
    rounds = 0
    while True:
        assert hinting.one_round(guest).ids == 2
        rounds += 1
        if _answer(guest, number):
            break
    verdict = guest.agent.call("verify", 120, name="pressure")
    assert verdict["pages"] == mib * 256 and verdict["wrong"] == 0
    isolated = isolation.counters(guest)
    print(f"{rounds} rounds while {mib} MiB were allocated, {isolated}")
    assert rounds >= 3
    assert isolated["isolated_pages"] > first
    assert isolated["pages_max"] * 4 <= bound + SLACK_KIB
    guest.agent.call("drop", name="pressure")
    isolation.wait_until_put_back(guest)
    isolation.check_adds_up(guest, before)


def test_host_is_slow(guest):
    """The guest needs all memory, and gets what is isolated only when the host takes a look."""
    before = isolation.account(guest)
    waits = isolation.counter(guest, "waits")
    with stopped_thread.stopped_iothread(guest):
        hinting.start(guest)
        # A host that is quick enough may never be waited for.
        hinting.wait_until(
            lambda: isolation.counter(guest, "waits") > waits, "the driver waits for the host"
        )
        # Nobody puts them back.
        missing = before.free_kib - hinting.free_kib(guest)
    assert missing > before.free_kib // 8
    migration.cancel(guest)
    isolation.wait_until_put_back(guest)

    mib = guest.agent.meminfo()["MemAvailable"] // 1024 - SPARE_MIB // 2
    number = guest.agent.post("hog-start", mib=mib, seed=23)
    looks = 0
    while True:
        with stopped_thread.stopped_iothread(guest):
            hinting.start(guest)
            time.sleep(OOM_WAIT_S / 2)
        migration.cancel(guest)
        looks += 1
        if answer := _answer(guest, number):
            break
    print(f"{looks} looks while {mib} MiB were allocated")
    assert looks >= 3
    assert answer["signal"] == 0, "the guest killed it for want of memory"
    verdict = guest.agent.call("hog-stop", 120)
    assert verdict["pages"] == mib * 256 and verdict["wrong"] == 0
    isolation.wait_until_put_back(guest)
    isolation.check_adds_up(guest, before)
