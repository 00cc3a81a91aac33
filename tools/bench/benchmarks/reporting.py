# SPDX-License-Identifier: GPL-2.0
"""Free page reporting: what it costs programs in the guest, and when the host has the memory."""

from __future__ import annotations

import time

from tools.bench.bench import Bench
from tools.bench.comparison import RUST, C
from tools.bench.parts import Bar, Chart, at_least
from tools.bench.samples import Row, Rows
from tools.guest import console, hinting, memory
from tools.guest.drivers import Driver
from tools.guest.guest import Guest
from tools.guest.machine import Balloon

ABOUT = "free page reporting: page faults in the guest, and memory that comes back to the host"

_DRIVERS = (C, RUST)
_DEFAULT_MIB = 2048
# The guest frees this share of its memory, and the host is to have most of that back.
_FREED_SHARE = 2
_RETURNED = 0.9
# The kernel reports a sixteenth of the free blocks every two seconds.
_RETURN_DEADLINE = 300.0
_FILL_DEADLINE = 600.0
# As will-it-scale's page_fault1, which the kernel's reporting was measured with.
_FAULTS_MIB = 128
# Several samples in each guest, each long enough for some passes of the kernel's reporting.
_SAMPLES = 3
_SAMPLE_MS = 5000

RETURN = "time to return half of the guest's memory"
# How much one fault brings; whether it is a huge page.
_KINDS = (("4 KiB", False), ("2 MiB", True))


def faults(kind: str, on: bool) -> str:
    return f"{kind} page faults, reporting {'on' if on else 'off'}"


CHARTS: tuple[Chart, ...] = (
    *(Chart(faults(kind, on), faults(kind, on)) for kind, _ in _KINDS for on in (False, True)),
    Chart(RETURN, f"{RETURN}, or {_RETURNED:.0%} of that"),
)


def run(bench: Bench) -> None:
    for number in range(bench.rounds):
        for guest_mib in bench.sizes or (_DEFAULT_MIB,):
            for on in (False, True):
                for driver in _DRIVERS:
                    title = f"{guest_mib} MiB, {driver.name}, reporting {'on' if on else 'off'}"
                    bench.say(f"round {number + 1} of {bench.rounds}: {title}")
                    with bench.attempt(guest_mib, driver.name):
                        memory.require_host_memory(guest_mib, guests=1, name="BENCH_MEM")
                        _measure(bench, guest_mib, driver, on)


def _measure(bench: Bench, guest_mib: int, driver: Driver, on: bool) -> None:
    balloon = Balloon(free_page_reporting=on)
    machine = bench.machine(memory_mib=guest_mib, balloon=balloon)
    with Guest(machine, bench.logs, f"{driver.name}-{'on' if on else 'off'}") as guest:
        guest.boot()
        driver.load(guest)
        seconds = _free_much(guest, on)
        if on:
            bench.record(guest_mib, driver.name, RETURN, "s", seconds)
        for kind, huge in _KINDS:
            for _ in range(_SAMPLES):
                found = guest.agent.call(
                    "faults", threads=machine.cpus, mib=_FAULTS_MIB, huge=huge, ms=_SAMPLE_MS
                )
                rate = found["faults"] / found["ns"] * 1e9
                bench.record(guest_mib, driver.name, faults(kind, on), "1/s", rate)
        console.check([guest.console_log])


def _free_much(guest: Guest, on: bool) -> float:
    """Seconds from freeing it until the host has it, at the kernel's own pace. Without reporting it
    only brings the guest into the same state."""
    freed_mib = guest.machine.memory_mib // _FREED_SHARE
    guest.agent.call("fill", _FILL_DEADLINE, name="freed", mib=freed_mib, seed=41, huge=True)
    full_kib = guest.resident_kib()
    start = time.monotonic()
    guest.agent.call("drop", name="freed")
    if on:
        wanted_kib = full_kib - _RETURNED * freed_mib * 1024
        what = "the host has the freed memory back"
        hinting.wait_until(lambda: guest.resident_kib() <= wanted_kib, what, _RETURN_DEADLINE)
    return time.monotonic() - start


def bars(rows: Rows) -> list[Bar]:
    found = []
    for guest_mib in rows.sizes():
        for kind, _ in _KINDS:
            theirs, ours = (
                rows.find(guest_mib, driver.name, faults(kind, True)) for driver in _DRIVERS
            )
            if theirs and ours:
                text = f"{guest_mib} MiB, {faults(kind, True)}: per second, the C driver's less the"
                found.append(
                    at_least(f"{text} spread", ours.median, theirs.median - _spread(theirs, ours))
                )
    return found


def _spread(*rows: Row) -> float:
    """What may be chance: the larger distance between the least and the most of the same thing."""
    return max(row.max - row.min for row in rows)
