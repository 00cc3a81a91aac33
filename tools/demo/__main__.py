# SPDX-License-Identifier: GPL-2.0
"""Runs the demo: every driver in every scenario, then table, chart and JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from tools.demo import chart, claims, settings, table
from tools.demo.run import Conditions, run
from tools.guest import agent_build, drivers, memory, migration, paths, qemu_version
from tools.guest.errors import ToolError
from tools.guest.results import write_json


def main() -> int:
    screen = Console()
    try:
        chosen = settings.from_environment()
        memory.require_host_memory(chosen.guest_mib)
        modules = _prerequisites(chosen)
        report = _run_all(chosen, modules, screen)
        _write(report, screen)
    except ToolError as error:
        Console(stderr=True).print(f"demo: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130
    runs = [run for scenario in report["scenarios"] for run in scenario["runs"]]
    if report["failures"] or not all(run["verified"] for run in runs):
        screen.print("[red]The demo failed, see above.[/]")
        return 1
    return 0


def _prerequisites(chosen: settings.Settings) -> dict[str, Path]:
    """Finds or builds all that the runs need, before the first one; returns the modules."""
    for name in (chosen.qemu, "GUEST_KERNEL"):
        paths.lookup(name)
    agent_build.build()
    return drivers.modules("plain", any(drivers.ALL[name].is_rust for name in chosen.drivers))


def _say_which_qemu(chosen: settings.Settings, screen: Console) -> str:
    version = qemu_version.read(paths.lookup(chosen.qemu))
    which = "the patched one" if chosen.qemu == "QEMU_PATCHED" else "not patched"
    screen.print(
        f"All drivers run in the same QEMU: {version}, {which}", highlight=False, soft_wrap=True
    )
    return version


def _run_all(
    chosen: settings.Settings, modules: dict[str, Path], screen: Console
) -> dict[str, Any]:
    report: dict[str, Any] = {
        "qemu": _say_which_qemu(chosen, screen),
        "qemu_is_patched": chosen.qemu == "QEMU_PATCHED",
        "scenarios": [],
        "failures": [],
        "bandwidth_bytes_per_s": chosen.bandwidth or None,
    }
    conditions = Conditions(
        guest_mib=chosen.guest_mib,
        bandwidth=chosen.bandwidth or migration.UNLIMITED,
        patched=chosen.qemu == "QEMU_PATCHED",
        modules=modules,
        logs=paths.LOGS / "demo",
    )
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=screen,
    )
    with progress:
        task = progress.add_task("demo", total=sum(len(found) for _, found in chosen.runs()))
        for scenario, found in chosen.runs():
            runs: list[dict[str, Any]] = []
            report["scenarios"].append(
                {"name": scenario, "guest_mib": chosen.guest_mib, "runs": runs}
            )
            for driver in found:
                title = f"{scenario}, {driver.name}"

                def say(what: str, title: str = title) -> None:
                    progress.update(task, description=f"{title}: {what}")

                try:
                    done = run(scenario, driver, conditions, say)
                except ToolError as error:
                    report["failures"].append(
                        {"scenario": scenario, "driver": driver.name, "error": str(error)}
                    )
                    screen.print(f"{title} failed: {error}", markup=False, soft_wrap=True)
                else:
                    runs.append(done)
                    screen.print(
                        f"{title}: {done['total_ms']} ms, {done['bytes'] / 1e6:.0f} MB sent",
                        highlight=False,
                    )
                progress.advance(task)
    return report


def _write(report: dict[str, Any], screen: Console) -> None:
    held = claims.evaluate(report)
    report["claims"] = [{"text": claim.text, "holds": claim.holds} for claim in held]
    target = paths.RESULTS / "demo.json"
    write_json(target, report)
    chart.draw(report, target.with_suffix(".png"))
    table.show(report, screen)
    table.show_lock_holds(report, screen)
    table.show_reports(report, screen)
    table.show_claims(held, screen)
    where = target.relative_to(paths.ROOT)
    screen.print(f"Written: {where}, {where.with_suffix('.png')}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
