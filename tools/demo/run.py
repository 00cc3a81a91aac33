# SPDX-License-Identifier: GPL-2.0
"""One run: one driver in one scenario, migrated once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tools.demo import bitmap_figures, scenarios
from tools.guest import bitmap, console, drivers, migration, paths
from tools.guest.drivers import Driver
from tools.guest.guest import Guest
from tools.guest.machine import Machine

_DEADLINE = 600.0
_RUST_EXTRAS = {"longest_hold_ns": "longest_lock_hold_ns", "max_batch_entries": "max_batch_entries"}


@dataclass(frozen=True)
class Conditions:
    """What runs have in common that are compared with each other."""

    guest_mib: int
    # Bytes per second that the migration may use.
    bandwidth: int
    # Whether it is the patched QEMU.
    patched: bool
    modules: Mapping[str, Path]
    logs: Path


class Work(Protocol):
    """Something that goes on in the guest beside the scenario's own load."""

    def start(self, source: Guest) -> None:
        """Returns right before the migration begins."""

    def end(self, destination: Guest) -> dict[str, Any]:
        """What came of it, for the result; called as soon as the destination runs."""


def run(
    scenario: str,
    driver: Driver,
    conditions: Conditions,
    say: Callable[[str], None],
    work: Work | None = None,
) -> dict[str, Any]:
    machine = Machine(
        kernel=paths.kernel("plain"),
        modules={driver.module: conditions.modules[driver.module]},
        memory_mib=conditions.guest_mib,
        balloon=driver.balloon(),
        read_only_disks=scenarios.disks(scenario, conditions.guest_mib),
        patched=conditions.patched,
        trace=bitmap.TRACE if driver.bitmap else (),
        deadline=_DEADLINE,
    )
    logs = conditions.logs / f"{scenario}-{driver.name}"
    say("booting")
    with Guest(machine, logs, "source") as source:
        source.boot()
        driver.load(source)
        say("filling memory")
        scenarios.prepare(source, scenario)
        compared = bitmap_figures.compare(source, driver.order) if driver.bitmap else {}
        with Guest(machine, logs, "destination", incoming=True) as destination:
            scenarios.start_load(source)
            if work:
                say("working")
                work.start(source)
            say("migrating")
            free_kib = source.agent.mem_free_kib()
            result = migration.migrate(
                source,
                destination,
                deadline=_DEADLINE,
                bandwidth=conditions.bandwidth,
            )
            worked = work.end(destination) if work else {}
            say("verifying")
            checked = scenarios.verify(destination, scenario)
            extras = _extras(driver, source, destination)
            console.check([source.console_log, destination.console_log])
    return {
        "driver": driver.name,
        "total_ms": result.total_ms,
        "downtime_ms": result.downtime_ms,
        "bytes": result.bytes,
        "pages_sent": result.pages_sent,
        "zero_pages": result.zero_pages,
        "notifications": result.traffic.notifications,
        "elements": result.traffic.elements,
        "guest_min_free_kib": checked.min_free_kib,
        "verified": checked.right,
        # Beyond the fixed format:
        "guest_free_kib": free_kib,
        "not_free_bytes": (conditions.guest_mib * 1024 - free_kib) * 1024,
        "rounds": result.rounds,
        "pages_verified": checked.pages,
        "pages_wrong": checked.wrong,
        **extras,
        **compared,
        **worked,
    }


def _extras(driver: Driver, source: Guest, destination: Guest) -> dict[str, Any]:
    if not driver.is_rust:
        return {}
    counted = (bitmap if driver.bitmap else drivers).counters(destination)
    extras = {new: counted[old] for old, new in _RUST_EXTRAS.items() if old in counted}
    return extras | (bitmap_figures.of_migration(source, destination) if driver.bitmap else {})
