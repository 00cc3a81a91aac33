# SPDX-License-Identifier: GPL-2.0
"""An idle guest reports all its free memory.

Each subject gets two fresh guests a round: one with two CPUs, whose exchange with the host is
timed there, and one whose clock counts instructions. What goes through the ring, in bytes, are 16
for each descriptor and what the device reads in the buffers. The C driver allocates all that it
reports, in blocks of order 10; what ours allocates it counts itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tools.bench import counting, exchange, ring, subjects, table
from tools.bench.bench import Bench
from tools.bench.parts import Bar, Chart, at_least, at_most
from tools.bench.samples import Rows
from tools.guest import console, drivers, paths
from tools.guest.drivers import Driver
from tools.guest.errors import ToolError
from tools.guest.guest import Guest

ABOUT = "an idle guest reports all its free memory"
SIZES = (2048, 8192, 32768, 131072)
# With init_on_alloc=1 allocating writes to all memory, and the host has to have it.
LARGEST_ZEROED = 8192
ZEROED = "+init_on_alloc"
CHARTS: tuple[Chart, ...] = (
    Chart("instructions", "Instructions to report all free memory", "log"),
    Chart("instructions in all", "Instructions, with those to take back what was allocated", "log"),
    Chart("notifications", "Notifications", "log"),
    Chart("elements", "Buffers", "log"),
    Chart("time", "Time from the host's request to the end of the round", "log"),
    Chart("allocated", "Memory allocated for it", "log"),
    Chart("reported share", "Share of what is free that was reported"),
)
# What has to hold.
_BASE_MIB = 8192
_FEWER = 100
_NEARLY_ALL = 99
_LARGE_MIB = 131072
_LARGE_BITMAP = 8192
# The most that the driver has for a report's bitmap.
_ONE_REPORT = 32 * 4096
# Instructions are nearly the same each time; the second time shows that they are.
_COUNTED_ROUNDS = 2
_SETTLE_S = 1.0
# How often MemFree is looked at: what is held, is held until the host is done.
_LOOK_MS = 10
# The struct pages of the guest's memory, and what its kernel and QEMU need.
_MEMMAP_SHARE = 64
_GUEST_NEEDS_MIB = 512
_BOOT_DEADLINE = 300.0
_DEADLINE = 1200.0


@dataclass(frozen=True)
class Case:
    guest_mib: int
    driver: Driver
    zeroed: bool

    @property
    def subject(self) -> str:
        return self.driver.name + (ZEROED if self.zeroed else "")

    @property
    def host_mib(self) -> int:
        """What the host has to have for it."""
        if self.zeroed and self.driver in subjects.ALLOCATING:
            return self.guest_mib + _GUEST_NEEDS_MIB
        return self.guest_mib // _MEMMAP_SHARE + _GUEST_NEEDS_MIB


def run(
    bench: Bench,
    chosen: tuple[Driver, ...] | None = None,
    zeroed: tuple[bool, ...] = (False, True),
) -> None:
    cases = list(_cases(bench, chosen or (*subjects.ALL, *_isolating(bench)), zeroed))
    for number in range(bench.rounds):
        for case in cases:
            bench.say(f"round {number + 1} of {bench.rounds}: {case.guest_mib} MiB, {case.subject}")
            with bench.attempt(case.guest_mib, case.subject):
                _measure_exchange(bench, case)
                if number < _COUNTED_ROUNDS:
                    _count_instructions(bench, case)


def _cases(bench: Bench, chosen: tuple[Driver, ...], zeroed: tuple[bool, ...]) -> Iterator[Case]:
    """What can be measured; what cannot is noted."""
    for mib in bench.sizes or SIZES:
        for zeroes in zeroed:
            for case in (Case(mib, driver, zeroes) for driver in chosen):
                if zeroes and mib > LARGEST_ZEROED:
                    why = f"who allocates writes to all memory: up to {LARGEST_ZEROED} MiB only"
                    bench.skip(mib, case.subject, why)
                elif bench.fits(mib, case.subject, case.host_mib):
                    yield case


def _isolating(bench: Bench) -> tuple[Driver, ...]:
    """The subject that takes another kernel, if that is built."""
    try:
        _patched()
    except ToolError as error:
        for mib in bench.sizes or SIZES:
            bench.skip(mib, drivers.ISOLATE.name, str(error))
        return ()
    return (drivers.ISOLATE,)


def _patched() -> dict[str, Any]:
    """What differs in the guest of that subject."""
    return {"kernel": paths.kernel("patched"), "modules": drivers.modules("patched")}


def _guest(bench: Bench, case: Case, counted: bool) -> Guest:
    machine = bench.machine(
        memory_mib=case.guest_mib,
        balloon=case.driver.balloon(),
        append=(f"init_on_alloc={int(case.zeroed)}",),
        extra=ring.EXTRA,
        trace=ring.TRACE,
        deadline=_DEADLINE,
        **(_patched() if case.driver == drivers.ISOLATE else {}),
    )
    if counted:
        machine = counting.machine(machine)
    logs = bench.logs / f"{case.guest_mib}-{case.subject}"
    return Guest(machine, logs, "counted" if counted else "timed")


def _start(guest: Guest, driver: Driver) -> None:
    guest.boot(_BOOT_DEADLINE)
    driver.load(guest)
    # Until what came with the boot is over.
    time.sleep(_SETTLE_S)


def _measure_exchange(bench: Bench, case: Case) -> None:
    low = 0

    def note_lowest() -> None:
        nonlocal low
        # It looks once more than it had to.
        time.sleep(2 * _LOOK_MS / 1000)
        low = guest.agent.call("min-free-stop")["min_kib"]

    with _guest(bench, case, counted=False) as guest:
        _start(guest, case.driver)
        guest.agent.call("min-free-start", period_ms=_LOOK_MS)
        found = exchange.measure(guest, case.driver, note_lowest)
        console.check([guest.console_log])
    exchange.record(bench, case.guest_mib, case.subject, found)
    bench.record(case.guest_mib, case.subject, "lowest free", "MiB", low / 1024)


def _count_instructions(bench: Bench, case: Case) -> None:
    with _guest(bench, case, counted=True) as guest:
        _start(guest, case.driver)
        counter = counting.Counter(guest)
        asked = counter.count(lambda: exchange.ask(guest, case.driver))
        dismissed = counter.count(lambda: exchange.dismiss(guest, case.driver))
        console.check([guest.console_log])
    for metric, value in (
        ("instructions", asked),
        ("instructions to give back", dismissed),
        ("instructions in all", asked + dismissed),
    ):
        bench.record(case.guest_mib, case.subject, metric, "", value)


def bars(rows: Rows) -> list[Bar]:
    found: list[Bar] = []
    for name in (drivers.WALK.name, subjects.BITMAP_O9.name):
        for metric in ("instructions", "instructions in all", "notifications", "elements"):
            found += _ratios(rows, name, metric)
    for mib in rows.sizes():
        found += _memory(rows, mib)
    return found


def _ratios(rows: Rows, name: str, metric: str) -> Iterator[Bar]:
    """The C driver's, in ours: a hundred at 8 GiB, and no fewer in larger guests."""
    base = _ratio(rows, _BASE_MIB, name, metric)
    if base is None:
        return
    text = f"times as many {metric} in the C driver as in {name}"
    yield at_least(f"{table.size(_BASE_MIB)}: {text}", base, _FEWER)
    for mib in rows.sizes():
        ratio = _ratio(rows, mib, name, metric)
        if mib > _BASE_MIB and ratio is not None:
            yield at_least(f"{table.size(mib)}: {text}, as at 8 GiB", ratio, base)


def _ratio(rows: Rows, mib: int, name: str, metric: str) -> float | None:
    theirs = rows.median(mib, drivers.C.name, metric)
    ours = rows.median(mib, name, metric)
    return theirs / ours if theirs and ours else None


def _memory(rows: Rows, mib: int) -> Iterator[Bar]:
    for name, limit in (
        (drivers.WALK.name, 0),
        (subjects.BITMAP_O9.name, _ONE_REPORT),
        (subjects.BITMAP_O0.name, _ONE_REPORT),
    ):
        for subject in (name, name + ZEROED):
            row = rows.find(mib, subject, "allocated")
            if row:
                text = f"{table.size(mib)}: bytes allocated by {subject}"
                yield at_most(text, row.max, limit)
    share = rows.find(mib, subjects.BITMAP_O0.name, "reported share")
    if share:
        text = f"{table.size(mib)}: % of free memory reported with order 0"
        yield at_least(text, share.median, _NEARLY_ALL)
    reports = rows.find(mib, subjects.BITMAP_O9.name, "reports")
    bitmap = rows.find(mib, subjects.BITMAP_O9.name, "allocated")
    if mib == _LARGE_MIB and reports and bitmap:
        yield at_most("128 GiB: reports with order 9", reports.max, 1)
        yield at_most("128 GiB: bytes of the bitmap with order 9", bitmap.max, _LARGE_BITMAP)
