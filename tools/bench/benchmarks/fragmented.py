# SPDX-License-Identifier: GPL-2.0
"""How much of the free memory is found where it lies scattered.

Nearly all of a guest's memory was filled, and then every second block of it given back. Each
subject gets a fresh guest a round and block size.
"""

from __future__ import annotations

from tools.bench import exchange, ring, subjects, table
from tools.bench.bench import Bench
from tools.bench.parts import Bar, Chart, at_least
from tools.bench.samples import Rows
from tools.demo import scenarios
from tools.guest import console, memory
from tools.guest.drivers import Driver
from tools.guest.guest import Guest

ABOUT = "a guest in which every second block is free reports its free memory"
SIZES = (2048,)
# What is free, and how the demo calls the guest's state.
STATES = {"2 MiB": "fragmented", "4 KiB": "fragmented-4k"}
CHARTS: tuple[Chart, ...] = tuple(
    Chart(f"{block}: {metric}", f"Every second {block} is free: {title}", scale)
    for block in STATES
    for metric, title, scale in (
        ("reported share", "share of what is free that was reported", "linear"),
        ("time", "time", "log"),
    )
)
_NEARLY_ALL = 99
_BOOT_DEADLINE = 300.0
_DEADLINE = 1200.0


def run(bench: Bench) -> None:
    for number in range(bench.rounds):
        for mib in bench.sizes or SIZES:
            if not bench.fits(mib, "all", mib + memory.OVERHEAD_MIB):
                continue
            for block in STATES:
                for driver in subjects.ALL:
                    what = f"round {number + 1} of {bench.rounds}: {mib} MiB"
                    bench.say(f"{what}, every second {block} free, {driver.name}")
                    with bench.attempt(mib, driver.name):
                        _measure(bench, mib, block, driver)


def _measure(bench: Bench, mib: int, block: str, driver: Driver) -> None:
    state = STATES[block]
    machine = bench.machine(
        memory_mib=mib,
        balloon=driver.balloon(),
        extra=ring.EXTRA,
        trace=ring.TRACE,
        deadline=_DEADLINE,
    )
    with Guest(machine, bench.logs / f"{mib}-{state}-{driver.name}", "guest") as guest:
        guest.boot(_BOOT_DEADLINE)
        driver.load(guest)
        scenarios.prepare(guest, state)
        found = exchange.measure(guest, driver)
        console.check([guest.console_log])
    exchange.record(bench, mib, driver.name, found, f"{block}: ")


def bars(rows: Rows) -> list[Bar]:
    found = []
    name = subjects.BITMAP_O0.name
    for mib in rows.sizes():
        for block in STATES:
            share = rows.median(mib, name, f"{block}: reported share")
            if share is not None:
                text = f"{table.size(mib)}, every second {block} free: % reported by {name}"
                found.append(at_least(text, share, _NEARLY_ALL))
    return found
