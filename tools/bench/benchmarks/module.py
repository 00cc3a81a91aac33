# SPDX-License-Identifier: GPL-2.0
"""What the module itself takes: memory for its code and for a device, and time to load."""

from __future__ import annotations

import statistics
import time

from tools.bench import counting, elf
from tools.bench.bench import Bench
from tools.bench.comparison import RUST, C
from tools.bench.parts import Bar, Chart
from tools.bench.samples import Rows
from tools.guest import console, hinting, initramfs, memory, situations
from tools.guest.drivers import Driver
from tools.guest.guest import Guest

ABOUT = "the module: sizes, memory for a device, time to load"

# Each is measured when the other one was loaded before, so that what the first module of all costs
# the kernel (2 MiB for the code of modules) is not in it.
_OTHER = ((C, RUST), (RUST, C))
_DEFAULT_MIB = 1024
_REPEATS = 9
# Until what is freed with a delay is free.
_SETTLE_S = 0.5
# Frees what slab caches keep for nobody, and adds up counters of which every CPU has its own part.
_TIDY = (
    "for cache in /sys/kernel/slab/*/shrink; do echo 1 > $cache; done;"
    " echo 1 > /proc/sys/vm/stat_refresh"
)

TEXT = "code"
DEVICE = "memory for the device"
LOAD = "time to load"
COST = "instructions to load"
CHARTS: tuple[Chart, ...] = (
    Chart(TEXT, "code of the module (text)"),
    Chart(DEVICE, "memory that binding the device takes"),
    Chart(LOAD, "from loading the module to a device with a driver"),
    Chart(COST, "instructions of the guest for that"),
)


def run(bench: Bench) -> None:
    for number in range(bench.rounds):
        for guest_mib in bench.sizes or (_DEFAULT_MIB,):
            for driver, other in _OTHER:
                title = f"{guest_mib} MiB, {driver.name}"
                bench.say(f"round {number + 1} of {bench.rounds}: {title}")
                with bench.attempt(guest_mib, driver.name):
                    memory.require_host_memory(guest_mib, guests=1, name="BENCH_MEM")
                    _sizes(bench, guest_mib, driver)
                    _device(bench, guest_mib, driver, other)
                    _load(bench, guest_mib, driver, other)


def _sizes(bench: Bench, guest_mib: int, driver: Driver) -> None:
    found = elf.read(bench.modules[driver.module])
    for what, size in (
        (TEXT, found.text),
        ("constants and tables", found.read_only),
        ("data", found.data),
        ("bss", found.bss),
    ):
        bench.record(guest_mib, driver.name, what, "bytes", size)


def _device(bench: Bench, guest_mib: int, driver: Driver, other: Driver) -> None:
    machine = bench.machine(memory_mib=guest_mib)
    with Guest(machine, bench.logs, f"{driver.name}-device") as guest:
        guest.boot()
        _prepare(guest, other)
        driver.load(guest)
        loaded = guest.agent.read(f"/sys/module/{_name(driver)}/coresize")
        bench.record(guest_mib, driver.name, "module in memory", "KiB", int(loaded) / 1024)
        taken = []
        for _ in range(_REPEATS):
            situations.unbind(guest, driver)
            without = _free_kib(guest)
            situations.bind(guest, driver)
            taken.append(without - _free_kib(guest))
        bench.record(guest_mib, driver.name, DEVICE, "KiB", statistics.median(taken))
        console.check([guest.console_log])


def _load(bench: Bench, guest_mib: int, driver: Driver, other: Driver) -> None:
    """In two guests: in one for the time; the other's clock counts instructions."""
    for icount in (False, True):
        machine = bench.machine(memory_mib=guest_mib)
        if icount:
            machine = counting.machine(machine)
        with Guest(machine, bench.logs, f"{driver.name}-load") as guest:
            guest.boot()
            _prepare(guest, other)
            found = []
            for _ in range(_REPEATS):
                path = f"{initramfs.MODULES}/{driver.module}"
                found.append(
                    guest.agent.call("load-module", path=path, parameters=driver.parameters)
                )
                driver.unload(guest)
            if icount:
                count = statistics.median(answer["cpu_ns"] for answer in found)
                bench.record(guest_mib, driver.name, COST, "million", count / 1e6)
            else:
                taken = statistics.median(answer["ns"] for answer in found)
                bench.record(guest_mib, driver.name, LOAD, "ms", taken / 1e6)
            console.check([guest.console_log])


def _prepare(guest: Guest, other: Driver) -> None:
    other.load(guest)
    situations.unbind(guest, other)


def _name(driver: Driver) -> str:
    return driver.module.removesuffix(".ko")


def _free_kib(guest: Guest) -> int:
    time.sleep(_SETTLE_S)
    guest.agent.run(_TIDY)
    return hinting.free_kib(guest)


def bars(rows: Rows) -> list[Bar]:
    """No bar: a driver in Rust with more in it is larger."""
    return []
