# SPDX-License-Identifier: GPL-2.0
"""One run: one driver in one scenario, migrated once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.demo import bitmap_figures, scenarios
from tools.demo.settings import Settings
from tools.guest import bitmap, console, drivers, migration, paths
from tools.guest.drivers import Driver
from tools.guest.guest import Guest
from tools.guest.machine import Machine

_DEADLINE = 600.0
_RUST_EXTRAS = {"longest_hold_ns": "longest_lock_hold_ns", "max_batch_entries": "max_batch_entries"}


def run(
    scenario: str,
    driver: Driver,
    settings: Settings,
    modules: Mapping[str, Path],
    say: Callable[[str], None],
) -> dict[str, Any]:
    machine = Machine(
        kernel=paths.kernel("plain"),
        modules={driver.module: modules[driver.module]},
        memory_mib=settings.guest_mib,
        balloon=driver.balloon(),
        read_only_disks=scenarios.disks(scenario, settings.guest_mib),
        patched=settings.qemu == "QEMU_PATCHED",
        trace=bitmap.TRACE if driver.bitmap else (),
        deadline=_DEADLINE,
    )
    logs = paths.LOGS / "demo" / f"{scenario}-{driver.name}"
    say("booting")
    with Guest(machine, logs, "source") as source:
        source.boot()
        driver.load(source)
        say("filling memory")
        scenarios.prepare(source, scenario)
        compared = bitmap_figures.compare(source, driver.order) if driver.bitmap else {}
        with Guest(machine, logs, "destination", incoming=True) as destination:
            scenarios.start_load(source)
            say("migrating")
            free_kib = source.agent.mem_free_kib()
            result = migration.migrate(
                source,
                destination,
                deadline=_DEADLINE,
                bandwidth=settings.bandwidth or migration.UNLIMITED,
            )
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
        "not_free_bytes": (settings.guest_mib * 1024 - free_kib) * 1024,
        "rounds": result.rounds,
        "pages_verified": checked.pages,
        "pages_wrong": checked.wrong,
        **extras,
        **compared,
    }


def _extras(driver: Driver, source: Guest, destination: Guest) -> dict[str, Any]:
    if not driver.is_rust:
        return {}
    counted = (bitmap if driver.bitmap else drivers).counters(destination)
    extras = {new: counted[old] for old, new in _RUST_EXTRAS.items() if old in counted}
    return extras | (bitmap_figures.of_migration(source, destination) if driver.bitmap else {})
