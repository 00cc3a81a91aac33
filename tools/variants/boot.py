# SPDX-License-Identifier: GPL-2.0
"""Tries a variant's kernel in guests: the KUnit suites, then the driver with QEMU's balloon.

Nothing of debugfs is used, as some kernels have none: what KUnit finds is in the log, and what the
driver does is what the host sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tools.guest import balloon, console, drivers, hinting, kunit
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import Machine
from tools.guest.paths import LOGS
from tools.variants import takeover
from tools.variants.catalogue import Variant

_MEMORY_MIB = 1024
_REMAINING_MIB = 512


@dataclass(frozen=True)
class Tried:
    suites: int
    passed: int
    skipped: int
    # Elements of the round of hints, with page tables of four and of five levels.
    elements: tuple[int, int]


def try_out(variant: Variant, tree: Path, module: Path, kunit_module: Path) -> Tried:
    config = (tree / ".config").read_text().splitlines()
    logs = LOGS / "variants" / variant.name
    smp = "CONFIG_SMP=y" in config
    machine = Machine(
        kernel=tree / "arch/x86/boot/bzImage",
        cpus=2 if smp else 1,
        memory_mib=_MEMORY_MIB,
        # Those that a kernel without NUMA does not tell apart.
        numa_nodes=2 if smp else 1,
        deadline=600.0,
    )
    results = _kunit(machine, logs, kunit_module, tree)
    four = _driver(machine, logs, module, five_levels=False)
    five = _driver(machine, logs, module, five_levels=True)
    if takeover.is_built_in(config):
        takeover.try_out(machine, logs, module)
    return Tried(
        suites=len(results.suites),
        passed=results.passed,
        skipped=results.skipped,
        elements=(four, five),
    )


def _kunit(machine: Machine, logs: Path, module: Path, tree: Path) -> kunit.Results:
    with Guest(kunit.machine(machine, module), logs, "kunit") as guest:
        guest.boot()
        results = kunit.run(guest)
    results.check(kunit.required(tree))
    console.check([guest.console_log])
    return results


def _driver(machine: Machine, logs: Path, module: Path, five_levels: bool) -> int:
    """Inflates, deflates, hints, and unloads; returns the elements of the round of hints."""
    machine = replace(
        machine,
        modules={drivers.RUST_MODULE: module},
        extra=("-cpu", f"max,la57={'on' if five_levels else 'off'}"),
    )
    with Guest(machine, logs, "driver-5-levels" if five_levels else "driver-4-levels") as guest:
        guest.boot()
        if (" la57 " in guest.agent.read("/proc/cpuinfo")) != five_levels:
            raise ToolError("the guest has not the page tables that it was to have")
        total = guest.agent.meminfo()["MemTotal"]
        guest.insmod(drivers.RUST_MODULE)
        if drivers.bound(guest) == takeover.C:
            drivers.rebind(guest, drivers.C, drivers.HOLD)
        free = hinting.free_kib(guest)
        balloon.inflate_to(guest, _REMAINING_MIB)
        given = total - guest.agent.meminfo()["MemTotal"]
        if given != (_MEMORY_MIB - _REMAINING_MIB) * 1024:
            raise ToolError(f"{given} KiB are in the balloon by the guest's account")
        balloon.deflate_all(guest)
        with hinting.round_done(guest) as traffic:
            elements = traffic.elements
        if elements <= 2:
            raise ToolError("the driver hinted at nothing")
        hinting.wait_for_free(guest, free)
        guest.agent.run("rmmod virtio_balloon_rs")
        if guest.agent.meminfo()["MemTotal"] != total:
            raise ToolError("memory is missing after the driver was unloaded")
    console.check([guest.console_log])
    return elements
