# SPDX-License-Identifier: GPL-2.0
"""Free page reporting: memory that the guest frees goes back to the host. Check kernel."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.guest import contents, hinting, reporting
from tools.guest.machine import Balloon

FREED_MIB = 1024
# What the guest may take for itself again meanwhile, and what lies between larger blocks in use.
SLACK_KIB = 64 << 10
HOST_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def _start(guests, machine, **changes):
    balloon = Balloon(free_page_reporting=True)
    machine = replace(machine, balloon=balloon, trace=reporting.TRACE, **changes)
    guest = guests.start(machine)
    reporting.set_delay(guest, 50)
    return guest


def _host_has_huge_pages():
    """QEMU asks for them, so `madvise` is enough."""
    return HOST_HUGE_PAGES.exists() and "[never]" not in HOST_HUGE_PAGES.read_text()


def _check_huge_pages_stay_whole(guest, before):
    """All blocks cover whole huge pages of the host, and none became small pages.

    The second is only seen on a host that has huge pages; the first is what it follows from.
    """
    for block in reporting.blocks(guest):
        assert block.address % reporting.HUGE_PAGE == block.size % reporting.HUGE_PAGE == 0, block
    if not _host_has_huge_pages():
        return
    now = guest.resident()
    assert before.huge_kib > FREED_MIB << 9, f"{before}: the host gave QEMU few huge pages"
    small = now.kib - now.huge_kib - (before.kib - before.huge_kib)
    assert small < 8 << 10, f"{small} KiB more are in small pages: {before}, {now}"


@pytest.mark.arm64_4k
def test_freed_memory_goes_back(guests, machine, driver):
    guest = _start(guests, machine, memory_mib=2048)
    contents.keep(guest, mib=128)
    contents.churn(guest, mib_per_s=8)
    driver.load(guest)
    for _ in range(2):
        guest.agent.call("fill", 120, name="freed", mib=FREED_MIB, seed=71, huge=True)
        full = guest.resident()
        guest.agent.call("drop", name="freed")
        hinting.wait_until(
            lambda full=full: guest.resident_kib() <= full.kib - (FREED_MIB << 10) + SLACK_KIB,
            "the host has the freed memory back",
            120,
        )
        print(f"{full} before, {guest.resident()} after")
        _check_huge_pages_stay_whole(guest, full)
    contents.check_churn(guest)
    contents.check_kept(guest)


def test_at_default_pace(guests, machine, driver):
    """With the kernel's own delay; so it is seen that the delay is not what makes it work."""
    guest = guests.start(replace(machine, balloon=Balloon(free_page_reporting=True)))
    driver.load(guest)
    reporting.check_reports(guest, mib=256)


def _set_order(guest, driver, order):
    """Returns the driver that is to be loaded."""
    if driver.is_rust:
        return replace(driver, parameters=f"{driver.parameters} page_reporting_order={order}")
    reporting.set_kernel_order(guest, order)
    return driver


@pytest.mark.parametrize("order", [0, 5, 9, 10])
def test_order(guests, machine, driver, order):
    """No block is smaller, and such blocks are reported."""
    # With one CPU, so that pages that lie side by side for a process do so in memory, too.
    guest = _start(guests, machine, cpus=1)
    least = reporting.PAGE << order
    contents.keep(guest)
    # Free blocks of about that size, and not much larger ones only.
    guest.agent.call("fill", 120, name="thinned", mib=512, seed=72, huge=order >= 9)
    _set_order(guest, driver, order).load(guest)
    hinting.wait_until(lambda: reporting.blocks(guest), "the free memory is reported", 60)
    # Before they are free: they may all be reported while the guest still answers.
    seen = len(reporting.blocks(guest))
    # Twice that, because pages that lie side by side need not start where a block can.
    guest.agent.call("thin", name="thinned", block=least if order in (0, 9, 10) else 2 * least)
    hinting.wait_until(
        lambda: any(block.size < 2 * least for block in reporting.blocks(guest)[seen:]),
        f"blocks of {least} bytes are reported",
        60,
    )
    smallest = min(block.size for block in reporting.blocks(guest))
    assert smallest == least
    verdict = guest.agent.call("verify", 120, name="thinned")
    assert verdict["pages"] > 0 and verdict["wrong"] == 0
    contents.check_kept(guest)
