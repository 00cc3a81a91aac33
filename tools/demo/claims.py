# SPDX-License-Identifier: GPL-2.0
"""Says which of the project's claims hold in this run's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RUST = ("rust-hold", "rust-walk", "rust-bitmap", "rust-bitmap-drop", "rust-bitmap-o0")
# Drivers that take no memory from the guest.
TAKE_NOTHING = ("rust-walk", "rust-bitmap", "rust-bitmap-drop", "rust-bitmap-o0")
# Two runs of the same driver are not the same. QEMU looks at its rate limit every 100 ms, so that a
# migration ends a step earlier or later, and the load writes 2 MB a second meanwhile.
SAME_BYTES = 1.03
SAME_TIME = 1.05
SAME_MS = 150


@dataclass(frozen=True)
class Claim:
    text: str
    holds: bool


def evaluate(report: dict[str, Any]) -> list[Claim]:
    """Claims whose runs are all there; a run that is missing takes its claims with it."""
    claims: list[Claim] = []
    for scenario in report["scenarios"]:
        runs = {run["driver"]: run for run in scenario["runs"]}
        for name in RUST:
            if name in runs:
                claims += _claims(scenario["name"], name, runs)
    return claims


def _claims(scenario: str, name: str, runs: dict[str, dict[str, Any]]) -> list[Claim]:
    ours = runs[name]
    sent = ours["bytes"]
    claims = []

    def claim(what: str, value: float, limit: float, unit: str) -> None:
        text = f"{scenario}, {name}: {what}: {value:,.0f} {unit}, limit {limit:,.0f} {unit}"
        claims.append(Claim(text, value <= limit))

    if scenario == "dirty-then-free":
        claim("no more than was not free", sent / 1e6, ours["not_free_bytes"] / 1e6, "MB")
        if "c" in runs:
            limit = SAME_BYTES * runs["c"]["bytes"]
            claim("no more than the C driver", sent / 1e6, limit / 1e6, "MB")
        if "none" in runs:
            limit = runs["none"]["total_ms"] / 10
            claim("a tenth of the time without hinting", ours["total_ms"], limit, "ms")
    if scenario in ("idle", "dirty-then-free") and name == "rust-bitmap" and "rust-walk" in runs:
        walk = runs["rust-walk"]
        claim("no more than walk", sent / 1e6, SAME_BYTES * walk["bytes"] / 1e6, "MB")
        limit = SAME_TIME * walk["total_ms"] + SAME_MS
        claim("no longer than walk", ours["total_ms"], limit, "ms")
    if scenario == "page-cache" and name == "rust-bitmap-drop" and "rust-bitmap" in runs:
        limit = runs["rust-bitmap"]["bytes"] / 4
        claim("a quarter of what is sent without dropping", sent / 1e6, limit / 1e6, "MB")
    # At order 0 every second page is a free block; at a higher order none is.
    fine = name == "rust-bitmap-o0" or scenario == "fragmented"
    if scenario.startswith("fragmented") and fine and "c" in runs:
        claim("at most 0.6 of the C driver", sent / 1e6, 0.6 * runs["c"]["bytes"] / 1e6, "MB")
    if name in TAKE_NOTHING:
        # The load itself takes memory during the migration; 1 % of what was free covers it.
        floor = 0.99 * ours["guest_free_kib"]
        text = f"{scenario}, {name}: lowest free memory: {ours['guest_min_free_kib'] // 1024:,} MiB"
        text += f", at least {floor / 1024:,.0f} MiB"
        claims.append(Claim(text, ours["guest_min_free_kib"] >= floor))
    return claims
