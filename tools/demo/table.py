# SPDX-License-Identifier: GPL-2.0
"""The report as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tools.demo.claims import Claim

_COLUMNS = (
    "scenario",
    "driver",
    "total\nms",
    "downtime\nms",
    "sent\nMB",
    "not free\nMB",
    "pages\nsent",
    "zero\npages",
    "notifi-\ncations",
    "ele-\nments",
    "min free\nMiB",
    "verified",
)


def show(report: dict[str, Any], console: Console) -> None:
    mib = report["scenarios"][0]["guest_mib"] if report["scenarios"] else 0
    table = Table(title=f"Live migration of a {mib} MiB guest", pad_edge=False)
    for number, column in enumerate(_COLUMNS):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    for scenario in report["scenarios"]:
        for number, run in enumerate(scenario["runs"]):
            table.add_row(scenario["name"] if number == 0 else "", *_cells(run))
        table.add_section()
    # Wrapped by the terminal if it must be; cut off it would be useless.
    measured = console.measure(table, options=console.options.update(max_width=1000))
    Console(file=console.file, width=max(console.width, measured.maximum)).print(table)


def show_lock_holds(report: dict[str, Any], console: Console) -> None:
    for scenario in report["scenarios"]:
        for run in scenario["runs"]:
            # `hold` does not take it.
            if entries := run.get("max_batch_entries"):
                console.print(
                    f"{scenario['name']}, {run['driver']}: longest hold of a zone's lock "
                    f"{run['longest_lock_hold_ns'] / 1000:,.0f} µs, at most {entries} entries",
                    highlight=False,
                    soft_wrap=True,
                )


def show_reports(report: dict[str, Any], console: Console) -> None:
    for scenario in report["scenarios"]:
        for run in scenario["runs"]:
            if found := run.get("report"):
                console.print(
                    f"{scenario['name']}, {run['driver']}: {found['blocks']:,} of"
                    f" {found['blocks_free_before']:,} free blocks of order {found['order']}"
                    f" reported in {found['ms']:,.0f} ms",
                    highlight=False,
                    soft_wrap=True,
                )


def show_claims(claims: list[Claim], console: Console) -> None:
    for claim in claims:
        mark = "[green]holds[/]         " if claim.holds else "[red]does not hold[/]"
        console.print(f"{mark} {claim.text}", highlight=False, soft_wrap=True)


def _cells(run: dict[str, Any]) -> list[str]:
    verified = "[green]yes[/]" if run["verified"] else "[red]NO[/]"
    return [
        run["driver"],
        f"{run['total_ms']:,}",
        f"{run['downtime_ms']:,}",
        f"{run['bytes'] / 1e6:,.1f}",
        f"{run['not_free_bytes'] / 1e6:,.1f}",
        f"{run['pages_sent']:,}",
        f"{run['zero_pages']:,}",
        f"{run['notifications']:,}",
        f"{run['elements']:,}",
        f"{run['guest_min_free_kib'] // 1024:,}",
        verified,
    ]
