# SPDX-License-Identifier: GPL-2.0
"""Migrates guests, in the scenarios of the demo and with a busy program in the guest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tools.bench.bench import Bench
from tools.bench.busy import Busy
from tools.bench.parts import Bar, Chart, at_least, at_most
from tools.bench.samples import Rows
from tools.demo.claims import SAME_BYTES
from tools.demo.run import Conditions
from tools.demo.run import run as run_once
from tools.guest import drivers, memory
from tools.guest.errors import ToolError

ABOUT = "live migration: what is sent, how long it takes, what a busy guest loses"

_DRIVERS = {
    "none": drivers.NONE,
    "c": drivers.C,
    "rust-hold": drivers.HOLD,
    "rust-walk": drivers.WALK,
    "rust-bitmap-o9": drivers.BITMAP,
    "rust-bitmap-o0": drivers.BITMAP_FINE,
    "rust-bitmap-drop": drivers.BITMAP_DROP,
}
_ALWAYS = ("none", "c", "rust-hold", "rust-walk", "rust-bitmap-o9")
# A link of 1 Gbit/s, as in the demo. What is sent hardly depends on it, and it is slow enough for
# the time to be that of the link and not that of this host's CPUs.
_LINK = 125_000_000
# The busy program dirties memory about as fast as that, so such a migration might never end.
_FAST_LINK = 250_000_000


@dataclass(frozen=True)
class Scenario:
    name: str
    guest_mib: int = 2048
    # Of the demo.
    base: str = ""
    more: tuple[str, ...] = ()
    bandwidth: int = _LINK
    busy: bool = False

    @property
    def subjects(self) -> tuple[str, ...]:
        return _ALWAYS + self.more


SCENARIOS = (
    Scenario("idle"),
    # The size for which there is a bar.
    Scenario("dirty-then-free", guest_mib=8192),
    Scenario("fragmented"),
    Scenario("fragmented-4k", more=("rust-bitmap-o0",)),
    Scenario("page-cache", more=("rust-bitmap-drop",)),
    # A guest in which such a program runs has used all of its memory some time.
    Scenario("busy", base="dirty-then-free", bandwidth=_FAST_LINK, busy=True),
)
CHARTS: tuple[Chart, ...] = tuple(
    Chart(f"{scenario.name}: {what}", f"{scenario.name}: {title}")
    for scenario in SCENARIOS
    for what, title in (("sent", "sent for RAM"), ("total", "total time"))
) + (
    Chart("busy: lost", "busy: what the program in the guest loses during the migration"),
    Chart("busy: lost work", "busy: how far it is behind a little after the migration"),
)

# At this size and above, `dirty-then-free` is to send so many times fewer bytes than without hints.
_LARGE_MIB = 8192
_FEWER = 20
# Of what the C driver sends, at most.
_FRAGMENTED = 0.55
_FRAGMENTED_4K = 0.6


def run(bench: Bench) -> None:
    for number in range(bench.rounds):
        for scenario in SCENARIOS:
            for guest_mib in bench.sizes or (scenario.guest_mib,):
                for subject in scenario.subjects:
                    title = f"{scenario.name}, {guest_mib} MiB, {subject}"
                    bench.say(f"round {number + 1} of {bench.rounds}: {title}")
                    with bench.attempt(guest_mib, subject):
                        memory.require_host_memory(guest_mib, name="BENCH_MEM")
                        _measure(bench, scenario, guest_mib, subject)


def _measure(bench: Bench, scenario: Scenario, guest_mib: int, subject: str) -> None:
    conditions = Conditions(
        guest_mib=guest_mib,
        bandwidth=scenario.bandwidth,
        patched=True,
        modules=bench.modules,
        logs=bench.logs / scenario.name,
    )
    work = Busy(guest_mib) if scenario.busy else None
    found = run_once(
        scenario.base or scenario.name, _DRIVERS[subject], conditions, lambda what: None, work
    )
    check(found, scenario.busy)

    def record(what: str, unit: str, value: float) -> None:
        bench.record(guest_mib, subject, f"{scenario.name}: {what}", unit, value)

    record("sent", "MB", found["bytes"] / 1e6)
    record("not free", "MB", found["not_free_bytes"] / 1e6)
    record("total", "ms", found["total_ms"])
    record("downtime", "ms", found["downtime_ms"])
    record("rounds", "", found["rounds"])
    record("lowest free", "MiB", found["guest_min_free_kib"] / 1024)
    if scenario.busy:
        before, during = found["rate_before"], found["rate_during"]
        record("before", "steps/s", before)
        record("during", "steps/s", during)
        record("lost", "%", 100 * (1 - during / before))
        record("lost work", "s", found["lost_s"])


def check(found: dict[str, Any], busy: bool) -> None:
    """A run whose memory is not as it should be has no figures."""
    pages, wrong = found["pages_verified"], found["pages_wrong"]
    verified = found["verified"]
    if busy:
        pages, wrong = pages + found["busy_pages"], wrong + found["busy_wrong"]
        verified = verified and found["busy_pages"] > 0 and found["busy_wrong"] == 0
    if not verified:
        raise ToolError(
            f"{wrong} of {pages} pages that were compared on the destination are wrong: no figure"
            " of this run counts"
        )


def bars(rows: Rows) -> list[Bar]:
    found: list[Bar] = []
    for guest_mib in rows.sizes():
        for scenario in SCENARIOS:
            for subject in scenario.subjects:
                if subject.startswith("rust-"):
                    found += _bars(rows, guest_mib, scenario.name, subject)
    return found


def _bars(rows: Rows, guest_mib: int, scenario: str, subject: str) -> list[Bar]:
    metric = f"{scenario}: sent"
    sent = rows.median(guest_mib, subject, metric)
    if sent is None:
        return []
    title = f"{guest_mib} MiB, {scenario}, {subject}: MB sent"
    found = []
    if theirs := rows.median(guest_mib, "c", metric):
        found.append(at_most(f"{title}, no more than the C driver's", sent, SAME_BYTES * theirs))
        if scenario == "fragmented":
            text = f"{title}, of what the C driver sends"
            found.append(at_most(text, sent / theirs, _FRAGMENTED))
        if scenario == "fragmented-4k" and subject == "rust-bitmap-o0":
            text = f"{title}, of what the C driver sends"
            found.append(at_most(text, sent / theirs, _FRAGMENTED_4K))
    if scenario == "dirty-then-free":
        if not_free := rows.median(guest_mib, subject, f"{scenario}: not free"):
            found.append(at_most(f"{title}, no more than was not free", sent, not_free))
        without = rows.median(guest_mib, "none", metric)
        if without and guest_mib >= _LARGE_MIB:
            text = f"{title}, times fewer than without hints"
            found.append(at_least(text, without / sent, _FEWER))
    return found
