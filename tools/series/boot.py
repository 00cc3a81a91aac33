# SPDX-License-Identifier: GPL-2.0
"""Boots what the series makes of the kernel, with the driver built in and as a module."""

from __future__ import annotations

from pathlib import Path

from tools.guest import balloon, console, drivers, hinting, kunit
from tools.guest.guest import Guest
from tools.guest.machine import Machine
from tools.series.model import SeriesError

_REMAINING_MIB = 600


def driver(image: Path, module: Path | None, logs: Path) -> str:
    """The driver gets the device, inflates, deflates and answers one request for hints."""
    modules = {drivers.RUST_MODULE: module} if module else {}
    machine = Machine(kernel=image, modules=modules, memory_mib=1024, deadline=480.0)
    name = "module" if module else "built-in"
    with Guest(machine, logs, name) as guest:
        guest.boot(240.0)
        if module:
            guest.insmod(drivers.RUST_MODULE, deadline=120.0)
        bound = drivers.bound(guest)
        if bound != "virtio_balloon_rs":
            raise SeriesError(f"the device of the guest '{name}' has the driver {bound!r}")
        balloon.inflate_to(guest, _REMAINING_MIB)
        inflated = balloon.inflated_pages(guest)
        balloon.deflate_all(guest)
        free = guest.agent.mem_free_kib()
        with hinting.round_done(guest, 120.0) as traffic:
            counted = drivers.counters(guest)
        if counted["completed"] != 1 or int(counted["pages"]) * 4 < 0.8 * free:
            raise SeriesError(
                f"the round of hints in the guest '{name}' told of too little: {counted}"
            )
        if module:
            guest.agent.run("rmmod virtio_balloon_rs", 120.0)
        log = guest.console_log
    console.check([log], [])
    return (
        f"{name}: {inflated} pages inflated and deflated, {counted['pages']} pages hinted "
        f"({counted['strategy']}) in {traffic.elements} elements"
    )


def tests(image: Path, module: Path, logs: Path) -> str:
    """The KUnit suites: the abstractions' run at boot, the driver's as it is loaded."""
    machine = kunit.machine(Machine(kernel=image), module, deadline=1200.0)
    with Guest(machine, logs, "kunit") as guest:
        guest.boot(600.0)
        results = kunit.run(guest, 900.0)
    results.check()
    if skipped := [suite.name for suite in results.suites if suite.skipped]:
        raise SeriesError(f"KUnit: skipped {skipped}")
    return f"KUnit: {results.passed} tests of {len(results.suites)} suites passed"
