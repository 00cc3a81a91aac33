# SPDX-License-Identifier: GPL-2.0
"""A process of an inflated guest takes more memory than there is. Check kernel."""

from dataclasses import replace

from tools.guest import balloon, contents, hinting, tracing, vmstat
from tools.guest.machine import Balloon

REMAINING_MIB = 176
# More than what remains, less than the guest has.
HOG_MIB = 240


def _inflated_guest(guests, machine, driver, deflate_on_oom):
    guest = guests.start(
        replace(machine, memory_mib=512, balloon=Balloon(deflate_on_oom=deflate_on_oom))
    )
    # The kernel is to give memory away until there is none, not to refuse in advance.
    guest.agent.write("/proc/sys/vm/overcommit_memory", "1")
    driver.load(guest)
    contents.keep(guest)
    free = hinting.free_kib(guest)
    balloon.inflate_to(guest, REMAINING_MIB)
    return guest, free


def test_deflates(guests, machine, driver):
    guest, free = _inflated_guest(guests, machine, driver, deflate_on_oom=True)
    with tracing.recording(guest, kib=512) as recorded:
        for _ in range(2):
            # A killed process shows in the log, too, which is checked at the end.
            assert guest.agent.call("hog-start", 180, mib=HOG_MIB, seed=51)["signal"] == 0
            remaining = balloon.actual_mib(guest)
            print(f"{remaining} MiB remain to the guest")
            assert remaining > HOG_MIB
            verdict = guest.agent.call("hog-stop", 120)
            assert verdict["pages"] == HOG_MIB * 256 and verdict["wrong"] == 0
            # The memory is free now, so the host may have it again.
            balloon.inflate_to(guest, REMAINING_MIB)
    assert vmstat.event(guest, "oom_kill") == 0
    if driver.is_rust:
        pages = sum(event.number("pages") for event in recorded.moved("deflate", "oom"))
        assert pages == balloon.counter(guest, "oom_deflated") > 0
    balloon.deflate_all(guest)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)


def test_does_not_deflate(guests, machine, driver):
    # The last is said of the hog's other threads, which find no memory while it is being killed.
    for pattern in (
        "oom-kill",
        "Out of memory: Killed process",
        "Call Trace:",
        "agent: page allocation failure",
    ):
        guests.allow(pattern)
    guest, free = _inflated_guest(guests, machine, driver, deflate_on_oom=False)
    assert guest.agent.call("hog-start", 180, mib=HOG_MIB, seed=52)["signal"] == 9
    assert balloon.actual_mib(guest) == REMAINING_MIB
    assert vmstat.event(guest, "oom_kill") == 1
    balloon.deflate_all(guest)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)
