# SPDX-License-Identifier: GPL-2.0
"""How long a walk holds a zone's lock, and what others notice of it.

The walk is the one behind a bitmap. As it takes nothing and leaves nothing behind, all sizes of
its batches are measured in one guest, with the driver loaded anew for each, so that its counters
begin at 0. Once in a guest with two CPUs, by the clock, and once in one whose clock counts
instructions. "hold" is from the lock's taking to its release, by the driver's own counters.

The largest batch that there is covers a zone's free memory in one hold in both states of the
guest, which the row "most entries in a hold" next to "entries" shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tools.bench import counting, exchange, ring, subjects
from tools.bench.bench import Bench
from tools.bench.parts import Bar, Chart, at_least, at_most
from tools.bench.samples import Rows
from tools.demo import scenarios
from tools.guest import bitmap, buddy, console, drivers, growing_log, hinting
from tools.guest.drivers import Driver
from tools.guest.errors import ToolError
from tools.guest.guest import Guest

ABOUT = "holds of a zone's lock, by the walk's batch, and what an allocating thread notices"
SIZES = (32768,)
DEFAULT = "batch default"
SINGLE = "batch 65536"
# Entries under one hold; None: what the driver does unless told otherwise.
BATCHES: dict[str, int | None] = {
    "batch 16": 16,
    "batch 64": 64,
    DEFAULT: None,
    "batch 4096": 4096,
    SINGLE: 65536,
}
# The guest's state, and the smallest order of the blocks that are reported.
STATES = {"idle": 9, "scattered": 0}
NOBODY = "nobody"
CHARTS: tuple[Chart, ...] = (
    *(
        Chart(f"{state}: {metric}", f"{state.capitalize()} guest: {title}", "log")
        for state in STATES
        for metric, title in (
            ("worst hold, instructions", "longest hold of a zone's lock, in instructions"),
            ("instructions", "the whole walk, in instructions"),
        )
    ),
    Chart("worst allocation", "Longest allocation meanwhile", "log"),
    Chart("worst allocation, instructions", "Longest allocation meanwhile, in instructions", "log"),
)
# So much memory of which every second page is free: with the idle guest's, about as many entries
# as the largest batch may have.
_SCATTERED_MIB = 384
# More than the CPUs have in lists of their own.
_ALLOCATING_MIB = 128
_LATENCY_S = 3.0
_LARGE_MIB = 32768
_SHORTER = 100
_LONGER = 1.3
_SETTLE_S = 1.0
# What the host has to have: struct pages, what is scattered, and what the rest needs.
_MEMMAP_SHARE = 64
_OTHER_MIB = 1024
_BOOT_DEADLINE = 300.0
_DEADLINE = 1800.0


def run(bench: Bench) -> None:
    for number in range(bench.rounds):
        for mib in bench.sizes or SIZES:
            if not bench.fits(mib, "all", mib // _MEMMAP_SHARE + _OTHER_MIB):
                continue
            for counted in (False, True):
                how = "counted" if counted else "timed"
                bench.say(f"round {number + 1} of {bench.rounds}: {mib} MiB, holds, {how}")
                with bench.attempt(mib, "all batches"):
                    _measure_holds(bench, mib, counted)
                for driver in (None, *subjects.ALL):
                    name = driver.name if driver else NOBODY
                    what = f"round {number + 1} of {bench.rounds}: {mib} MiB"
                    bench.say(f"{what}, allocations meanwhile, {name}, {how}")
                    with bench.attempt(mib, name):
                        _measure_latency(bench, mib, driver, counted)


def _guest(bench: Bench, mib: int, driver: Driver, name: str, counted: bool) -> Guest:
    machine = bench.machine(
        memory_mib=mib,
        balloon=driver.balloon(),
        extra=ring.EXTRA,
        trace=ring.TRACE,
        deadline=_DEADLINE,
    )
    if counted:
        machine = counting.machine(machine)
    how = "counted" if counted else "timed"
    return Guest(machine, bench.logs / f"{mib}-{name}", how)


def _measure_holds(bench: Bench, mib: int, counted: bool) -> None:
    driver = subjects.BITMAP_O0
    with _guest(bench, mib, driver, "holds", counted) as guest:
        guest.boot(_BOOT_DEADLINE)
        scenarios.keep_cpu_lists_short(guest)
        time.sleep(_SETTLE_S)
        counter = counting.Counter(guest) if counted else None
        for state, order in STATES.items():
            if state == "scattered":
                hinting.scatter_free_memory(guest, _SCATTERED_MIB)
                scenarios.settle(guest)
            for subject, batch in BATCHES.items():
                _load(guest, batch)

                def record(
                    metric: str, unit: str, value: float, subject: str = subject, state: str = state
                ) -> None:
                    bench.record(mib, subject, f"{state}: {metric}", unit, value)

                if counter:
                    _count_walk(guest, counter, order, record)
                else:
                    _time_walk(guest, order, record)
                driver.unload(guest)
        console.check([guest.console_log])


def _load(guest: Guest, batch: int | None) -> None:
    chosen = f" free_page_walk_batch={batch}" if batch else ""
    guest.insmod(drivers.RUST_MODULE, f"free_page_bitmap=1{chosen}")


Record = Callable[[str, str, float], None]


def _time_walk(guest: Guest, order: int, record: Record) -> None:
    free = buddy.free_blocks(guest, 0)
    start = growing_log.size(guest.trace_log)
    account = bitmap.report(guest, order=order)
    record("time", "ms", ring.read(guest.trace_log, start, bitmap=True).ms)
    record("worst hold", "ns", _counted(guest, "longest_hold_ns"))
    record("reported share", "%", 100 * account["free-bytes"] / exchange.PAGE / free)
    holds, entries = _counted(guest, "batches"), _counted(guest, "entries")
    record("batch limit", "", _counted(guest, "batch_limit"))
    record("holds", "", holds)
    record("entries", "", entries)
    record("entries in a hold", "", entries / holds)
    record("most entries in a hold", "", _counted(guest, "max_batch_entries"))
    record("restarts", "", _counted(guest, "restarts"))


def _count_walk(guest: Guest, counter: counting.Counter, order: int, record: Record) -> None:
    used = counter.count(lambda: bitmap.report(guest, order=order))
    record("instructions", "", used)
    record("worst hold, instructions", "", _counted(guest, "longest_hold_ns"))
    # The counters have no sum of the holds: this is with all that is between two of them.
    record("instructions for a hold and what follows", "", used / _counted(guest, "batches"))


def _counted(guest: Guest, name: str) -> int:
    return bitmap.counter(guest, name)


def _measure_latency(bench: Bench, mib: int, driver: Driver | None, counted: bool) -> None:
    subject = driver.name if driver else NOBODY
    with _guest(bench, mib, driver or drivers.C, f"latency-{subject}", counted) as guest:
        guest.boot(_BOOT_DEADLINE)
        (driver or drivers.C).load(guest)
        time.sleep(_SETTLE_S)
        if counted:
            counting.check_clock(guest)
        end = time.monotonic() + _LATENCY_S
        guest.agent.call("latency-start", mib=_ALLOCATING_MIB)
        if driver:
            exchange.ask(guest, driver)
            exchange.dismiss(guest, driver)
        time.sleep(max(0.0, end - time.monotonic()))
        found = guest.agent.call("latency-stop")
        console.check([guest.console_log])
    if not found["pages"]:
        raise ToolError(f"{guest.name}: not one page was allocated in {_LATENCY_S:.0f} s")
    unit, suffix = ("", ", instructions") if counted else ("ns", "")
    bench.record(mib, subject, f"worst allocation{suffix}", unit, found["worst_ns"])
    mean = found["total_ns"] / found["pages"]
    bench.record(mib, subject, f"mean allocation{suffix}", unit, mean)


def bars(rows: Rows) -> list[Bar]:
    """In instructions: by the clock, another run on this machine in the wrong moment decides."""
    found = []
    for state in STATES:
        times = _of_batches(rows, f"{state}: worst hold, instructions")
        if times:
            text = f"32 GiB, {state}: worst hold of the walk in one, times that of the default"
            found.append(at_least(text, times[1] / times[0], _SHORTER))
        times = _of_batches(rows, f"{state}: instructions")
        if times:
            text = f"32 GiB, {state}: instructions of the default, times those of the walk in one"
            found.append(at_most(text, times[0] / times[1], _LONGER))
    return found


def _of_batches(rows: Rows, metric: str) -> tuple[float, float] | None:
    default = rows.median(_LARGE_MIB, DEFAULT, metric)
    single = rows.median(_LARGE_MIB, SINGLE, metric)
    return (default, single) if default and single else None
