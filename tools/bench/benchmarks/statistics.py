# SPDX-License-Identifier: GPL-2.0
"""The host asks for statistics, again and again."""

from __future__ import annotations

import statistics

from tools.bench import counting
from tools.bench.bench import Bench
from tools.bench.comparison import RUST, C
from tools.bench.counting import Counter
from tools.bench.parts import Bar, Chart
from tools.bench.samples import Rows
from tools.guest import console, memory, stats_clock
from tools.guest.drivers import Driver
from tools.guest.guest import Guest
from tools.guest.machine import Machine

ABOUT = "one refresh of the statistics"

_DRIVERS = (C, RUST)
_DEFAULT_MIB = 1024
# In each guest: enough for what happens beside them to be little.
_REFRESHES = 300
# The first ones find the caches of guest and host cold.
_WARM_UP = 20

TIME = "from request to answer"
COST = "instructions of the guest's kernel"
CHARTS: tuple[Chart, ...] = (
    Chart(TIME, "from the host's request to the guest's answer"),
    Chart(COST, "instructions that the guest's kernel threads need for it"),
)


def run(bench: Bench) -> None:
    for number in range(bench.rounds):
        for guest_mib in bench.sizes or (_DEFAULT_MIB,):
            for driver in _DRIVERS:
                title = f"{guest_mib} MiB, {driver.name}"
                bench.say(f"round {number + 1} of {bench.rounds}: {title}")
                with bench.attempt(guest_mib, driver.name):
                    memory.require_host_memory(guest_mib, guests=1, name="BENCH_MEM")
                    _time(bench, guest_mib, driver)
                    _count(bench, guest_mib, driver)


def _machine(bench: Bench, guest_mib: int) -> Machine:
    return bench.machine(memory_mib=guest_mib, trace=stats_clock.TRACE, extra=stats_clock.EXTRA)


def _time(bench: Bench, guest_mib: int, driver: Driver) -> None:
    with Guest(_machine(bench, guest_mib), bench.logs, f"{driver.name}-time") as guest:
        guest.boot()
        driver.load(guest)
        _refresh(guest, _WARM_UP)
        times = _refresh(guest, _REFRESHES)
        bench.record(guest_mib, driver.name, TIME, "µs", statistics.median(times) * 1000)
        console.check([guest.console_log])


def _count(bench: Bench, guest_mib: int, driver: Driver) -> None:
    machine = counting.machine(_machine(bench, guest_mib))
    with Guest(machine, bench.logs, f"{driver.name}-count") as guest:
        guest.boot()
        driver.load(guest)
        _refresh(guest, _WARM_UP)
        count = Counter(guest).count(lambda: _refresh(guest, _REFRESHES))
        bench.record(guest_mib, driver.name, COST, "", count / _REFRESHES)
        console.check([guest.console_log])


def _refresh(guest: Guest, times: int) -> list[float]:
    """How long each took, in milliseconds."""
    return [stats_clock.refresh(guest).ms for _ in range(times)]


def bars(rows: Rows) -> list[Bar]:
    """No bar: it is a few microseconds, once every few seconds."""
    return []
