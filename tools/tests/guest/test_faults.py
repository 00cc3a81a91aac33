# SPDX-License-Identifier: GPL-2.0
"""Every request for memory that a driver makes fails once, and everything it does with a virtqueue.
Check kernel.

After each failure the driver works, or has failed in a way that unbinding and binding mends.
"""

from dataclasses import replace

import pytest

from tools.guest import (
    balloon,
    contents,
    drivers,
    faults,
    hinting,
    paths,
    situations,
    stats,
)
from tools.guest.initramfs import MODULES
from tools.guest.machine import Balloon

# What is inflated: few enough pages that all of this is quick.
SOME_MIB = 8


class Subject:
    """A guest whose balloon has somewhere to go, with the driver loaded."""

    def __init__(self, guests, machine, driver):
        self.driver = driver
        self.guest = guests.start(replace(machine, balloon=Balloon(free_page_reporting=True)))
        contents.keep(self.guest)
        self.before = situations.load(self.guest, driver)
        balloon.set_remaining(self.guest, self.guest.machine.memory_mib - SOME_MIB)
        self.check_follows()

    def is_bound(self):
        return self.guest.agent.try_run(f"ls -d {self.driver.sysfs}/virtio*")[0] == 0

    def check_follows(self):
        """Not by what the driver says to the host, which remembers it over a reset."""
        self._wait_for_total(self.before[1] - (SOME_MIB << 10))

    def revive(self):
        """The C driver does not reset the device when its probe fails, and then no other one
        succeeds (test_c_deviations.py). The transport does when it is given the device anew."""
        if not self.driver.is_rust:
            path = self.guest.agent.run("readlink -f /sys/bus/virtio/devices/virtio0")
            name = path.split("/")[-2]
            for what in ("unbind", "bind"):
                self.guest.agent.write(f"/sys/bus/pci/drivers/virtio-pci/{what}", name)
            # The new device is given to the driver at once.
            if self.is_bound():
                situations.unbind(self.guest, self.driver)

    def check_empty(self):
        self._wait_for_total(self.before[1])

    def check_mended(self):
        """Bound anew it is as good as before, and nothing was lost."""
        if self.is_bound():
            situations.unbind(self.guest, self.driver)
        situations.check_memory(self.guest, self.before)
        situations.bind(self.guest, self.driver)
        self.check_follows()
        situations.check_works(self.guest)
        situations.unbind(self.guest, self.driver)
        situations.check_memory(self.guest, self.before)
        contents.check_kept(self.guest)

    def _wait_for_total(self, kib):
        hinting.wait_until(
            lambda: self.guest.agent.meminfo()["MemTotal"] == kib, f"MemTotal is {kib} KiB", 60
        )


def test_load(guests, machine, driver):
    subject = Subject(guests, machine, driver)
    guest = subject.guest
    driver.unload(guest)
    faults.restrict_to_loading(guest)

    def attempt(nth):
        fault, code = faults.in_task(
            guest, nth, f"exec insmod {MODULES}/{driver.module} {driver.parameters}"
        )
        if code == 0:
            # The kernel loads a module whose driver no device was given to.
            if subject.is_bound():
                subject.check_follows()
            driver.unload(guest)
        subject.revive()
        subject.check_empty()
        return fault.happened

    print(f"{driver.name}: {faults.each(attempt)} requests")
    driver.load(guest)
    subject.check_mended()


@pytest.mark.parametrize("what", ["bind", "unbind"])
def test_bind(guests, machine, driver, what):
    subject = Subject(guests, machine, driver)
    guest = subject.guest
    (device,) = guest.balloons()
    faults.restrict_to(guest, driver)
    if what == "bind":
        situations.unbind(guest, driver)

    def attempt(nth):
        fault, code = faults.in_task(guest, nth, f"echo {device} > {driver.sysfs}/{what}")
        if what == "unbind":
            assert code == 0
            subject.check_empty()
            situations.bind(guest, driver)
            subject.check_follows()
            return fault.happened
        assert subject.is_bound() == (code == 0)
        if code == 0:
            subject.check_follows()
            situations.unbind(guest, driver)
        else:
            subject.revive()
        subject.check_empty()
        return fault.happened

    count = faults.each(attempt)
    print(f"{driver.name}: {what}: {count} requests")
    assert count or what == "unbind"
    subject.check_mended()


def _inflate(guest):
    balloon.deflate_all(guest)
    balloon.inflate_to(guest, guest.machine.memory_mib - SOME_MIB)


def _statistics(guest):
    stats.poll(guest, 1)
    stats.wait_for_update(guest, stats.read(guest).last_update)
    stats.poll(guest, 0)


def _report(guest):
    guest.agent.call("fill", 120, name="freed", mib=32, seed=91, huge=True)
    guest.agent.call("drop", name="freed")


# What is done while a request fails, and the pages that the C driver asks for at a time.
WORK = {
    "inflate": (_inflate, 0),
    "statistics": (_statistics, 0),
    "hint": (hinting.one_round, 10),
    "report": (_report, 0),
}
# Of thousands of pages that are asked for: the first, and where requests to the host begin.
SOME = (1, 2, 3, 255, 256, 257, 1000)


@pytest.mark.parametrize("work", WORK)
def test_work(guests, machine, driver, work):
    subject = Subject(guests, machine, driver)
    guest = subject.guest
    faults.restrict_to(guest, driver)
    do, order = WORK[work]

    def attempt(kind, nth):
        with faults.armed(guest, kind, nth, order) as fault:
            do(guest)
        subject.check_follows()
        return fault.happened

    pages = [nth for nth in SOME if attempt(faults.PAGES, nth)]
    slab = faults.each(lambda nth: attempt(faults.SLAB, nth))
    print(f"{driver.name}: {work}: pages {pages}, slab {slab}")
    assert pages or work in ("statistics", "report")
    subject.check_mended()


def test_virtqueues(guests, machine, flavour):
    """Whatever our driver does with a queue fails once. A device that is lost is lost, but nothing
    of the guest's may be."""
    driver = drivers.HOLD
    modules = {driver.module: paths.lookup(f"MODULE_{flavour.upper()}_KUNIT")}
    subject = Subject(guests, replace(machine, modules=modules), driver)
    guest = subject.guest
    (device,) = guest.balloons()
    situations.unbind(guest, driver)

    def attempt(nth):
        # Before there are hints: those that never reach the host are missing until the unbinding.
        guest.agent.call("fill", 120, name="freed", mib=32, seed=92, huge=True)
        with faults.armed(guest, faults.QUEUES, nth) as fault:
            guest.agent.try_run(f"echo {device} > {driver.sysfs}/bind")
            stats.poll(guest, 1)
            hinting.start(guest)
            guest.agent.call("drop", name="freed")
            # Long enough for the driver to do all that, if it can; it may not be able to.
            guest.agent.run("sleep 1.5")
            hinting.migration.cancel(guest)
            stats.poll(guest, 0)
        if subject.is_bound():
            situations.unbind(guest, driver)
        situations.check_memory(guest, subject.before)
        return fault.happened

    count = faults.each(attempt)
    print(f"{count} operations")
    assert count > 5
    subject.check_mended()
