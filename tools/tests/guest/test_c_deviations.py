# SPDX-License-Identifier: GPL-2.0
"""Where the kernel's C driver does not do what the specification says, and ours does. Check kernel.

Each test runs twice, and passes with the C driver if that one *has* the deviation: if a later
kernel mends it, the test says so. What is known by reading and not shown here:

* A statistics buffer is not a multiple of six bytes long. That is an error of the specification,
  whose entries have ten; every driver does the same.
* `VIRTIO_F_ACCESS_PLATFORM` is cleared on purpose, because the balloon's addresses are physical.
"""

from dataclasses import replace

import pytest

from tools.guest import (
    balloon,
    drivers,
    faults,
    hinting,
    reporting,
    situations,
    stopped_thread,
    suspend,
    trace,
)
from tools.guest.machine import Balloon

BOTH = pytest.mark.parametrize("driver", [drivers.C, drivers.HOLD], ids=["c", "ours"])
STATISTICS_QUEUE = 2
DEFLATE_QUEUE = 1
POISON = 0xAAAAAAAA
TRACING = "/sys/kernel/tracing"


def _start(guests, machine, **changes):
    machine = replace(machine, balloon=Balloon(free_page_reporting=True), **changes)
    return guests.start(machine)


def _early(guest, since=0):
    return trace.early_notifications(guest.balloon_events()[since:])


@BOTH
def test_notifies_before_driver_ok(guests, machine, driver):
    """Device initialisation: the driver MUST NOT notify the device before DRIVER_OK. The C driver
    does so for the statistics queue, at probe and after every suspend."""
    guest = _start(guests, machine)
    driver.load(guest)
    at_probe = _early(guest)
    since = len(guest.balloon_events())
    suspend.cycle_devices(guest)
    at_restore = _early(guest, since)
    early = [] if driver.is_rust else [STATISTICS_QUEUE]
    assert at_probe == at_restore == early


@BOTH
def test_registers_reporting_before_driver_ok(guests, machine, driver):
    """Free page reporting may begin after DRIVER_OK. The C driver registers with the kernel
    before it, and then only the kernel's delay of two seconds keeps reports away."""
    guest = _start(guests, machine)
    # In the guest's own order: without the delay it is a race who is first.
    guest.agent.run(
        f"cd {TRACING} && echo 'p:register page_reporting_register' > kprobe_events &&"
        " echo 'p:status vp_modern_set_status status=%si:u8' >> kprobe_events &&"
        " echo 1 > events/kprobes/enable"
    )
    driver.load(guest)
    lines = guest.agent.read(f"{TRACING}/trace").splitlines()
    registered = [i for i, line in enumerate(lines) if "register:" in line]
    live = [i for i, line in enumerate(lines) if "status=15" in line]
    assert len(registered) == len(live) == 1, lines
    assert (registered[0] < live[0]) != driver.is_rust


@BOTH
def test_poison_value_after_suspend(guests, machine, driver):
    """Page poison: the driver MUST set `poison_val` before DRIVER_OK. After a suspend the device
    was reset, and the C driver does not set it again."""
    guest = _start(guests, machine, append=("page_poison=1",))
    driver.load(guest)
    assert reporting.poison_value(guest) == POISON
    with reporting.watch_writes(guest):
        suspend.cycle_devices(guest)
    assert reporting.poison_value(guest) == (POISON if driver.is_rust else 0)
    values = [(POISON, False)] if driver.is_rust else []
    assert reporting.poison_writes(guest.trace_log) == values


@BOTH
def test_poison_is_lost_after_suspend(guests, machine, driver):
    """What comes of it: the host, told that free pages hold zeroes, discards what is reported, and
    the guest finds its poison gone."""
    corruption = "pagealloc: memory corruption"
    if not driver.is_rust:
        guests.allow(corruption)
        # The kernel's report has one.
        guests.allow("Call Trace:")
    guest = _start(guests, machine, append=("page_poison=1",), trace=reporting.TRACE)
    reporting.set_delay(guest, 20)
    driver.load(guest)
    suspend.cycle_devices(guest)
    for _ in range(3):
        reporting.check_reports(guest, mib=256)
    guest.agent.call("fill", 120, name="again", mib=256, seed=81, huge=True)
    assert (corruption in guest.log()) != driver.is_rust
    assert bool(reporting.blocks(guest)) != driver.is_rust


@pytest.mark.parametrize("driver", [drivers.C, drivers.HOLD], ids=["c", "ours"])
def test_empties_the_balloon_when_it_goes(guests, machine, driver):
    """Without DEFLATE_ON_OOM the driver MUST NOT take pages back while the host wants them. Both
    do when they are unbound or suspended, one request after the other and before the reset.

    Any driver has to: it cannot leave pages in the balloon of a device that is reset, because
    that device knows of none, and nobody could give them back. That it announces them is what
    the specification does want of pages that are taken back.
    """
    guest = _start(guests, machine)
    driver.load(guest)
    balloon.inflate_to(guest, 512)
    for leave, come_back in (
        (lambda: situations.unbind(guest, driver), lambda: situations.bind(guest, driver)),
        (lambda: suspend.cycle_devices(guest), lambda: None),
    ):
        since = len(guest.balloon_events())
        leave()
        events = guest.balloon_events()[since:]
        before_reset = events[: events.index(trace.Event("status", 0))]
        assert trace.Event("notify", DEFLATE_QUEUE) in before_reset
        come_back()
        balloon.wait_for_actual(guest, 512)


@BOTH
def test_shrinker_and_unread_hints(guests, machine, driver):
    """Hinting: a hinted page MAY be used again at any time, even before the device has read the
    hint. The C driver's shrinker does that; ours gives only such pages back that it may."""
    guest = _start(guests, machine)
    driver.load(guest)
    free = hinting.free_kib(guest)
    with stopped_thread.stopped_iothread(guest):
        read = guest.hint_traffic().elements
        hinting.start(guest)
        hinting.wait_until(
            lambda: hinting.free_kib(guest) < free // 2, "half of the free memory is hinted"
        )
        held = hinting.free_kib(guest)
        # What memory pressure does, without any.
        guest.agent.write("/proc/sys/vm/drop_caches", "2")
        returned = hinting.free_kib(guest) - held
        assert guest.hint_traffic().elements == read, "the host read a hint meanwhile"
        print(f"{driver.name}: {free} KiB free, {held} with hints, {returned} given back")
        assert (returned > 16 << 10) != driver.is_rust
    hinting.migration.cancel(guest)
    hinting.wait_for_free(guest, free)


@BOTH
def test_reset_after_failed_probe(guests, machine, driver):
    """A driver that gives up must not leave the device with queues whose memory it has freed. The
    C driver does when something fails that it does after it has found the queues; as they are
    still enabled, no driver can have the device from then on.

    That ours can be bound after every failure is what test_faults.py is about as well.
    """
    guest = _start(guests, machine)
    driver.load(guest)
    situations.unbind(guest, driver)
    faults.restrict_to(guest, driver)
    # Failures of ours; the C driver is stuck after the second.
    enough = 10
    bind = f"echo virtio0 > {driver.sysfs}/bind"
    failed = stuck = 0
    for nth in range(1, 400):
        fault, code = faults.in_task(guest, nth, bind)
        if not fault.happened:
            break
        if code:
            failed += 1
            stuck += guest.agent.try_run(bind)[0] != 0
            if stuck or failed == enough:
                break
        situations.unbind(guest, driver)
    print(f"{driver.name}: {failed} probes failed, the last one at request {nth}")
    assert failed > 1
    assert bool(stuck) != driver.is_rust
