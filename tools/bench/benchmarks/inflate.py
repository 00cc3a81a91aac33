# SPDX-License-Identifier: GPL-2.0
"""The balloon goes up and down: how long it takes, and what goes to and fro for it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tools.bench import counting, extents
from tools.bench.bench import Bench
from tools.bench.comparison import EXTENTS, EXTENTS_NAME, RUST, C
from tools.bench.counting import Counter
from tools.bench.parts import Bar, Chart, at_least, at_most
from tools.bench.samples import Rows
from tools.guest import balloon_clock, console, memory, trace
from tools.guest.balloon_clock import Change
from tools.guest.drivers import RUST_MODULE, Driver
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import Balloon, Machine
from tools.guest.trace import QueueCounter

ABOUT = "the balloon goes up by a part of the guest's memory, and down to nothing"

STOCK = "stock QEMU"
PATCHED = "patched QEMU"


@dataclass(frozen=True)
class Case:
    qemu: str
    driver: Driver

    @property
    def extents(self) -> bool:
        return self.driver is EXTENTS


_CASES = (
    Case(STOCK, C),
    Case(STOCK, RUST),
    Case(PATCHED, C),
    Case(PATCHED, RUST),
    Case(PATCHED, EXTENTS),
)
_DEFAULT_MIB = 4096
# Quarters of the guest's memory: 1 GiB and 3 GiB of 4 GiB.
QUARTERS = (1, 3)
# Whether the host has memory behind the guest's free pages: a guest that was just booted has
# touched few of them, one that has worked has touched all.
FRESH = "fresh"
USED = "used"
INFLATE = "inflate"
DEFLATE = "deflate"
# What the guest does not fill when it makes its memory used, and what else may come and go on the
# host while the balloon is inflated: shares of the guest's memory. Both are small beside the
# balloon, or it could be made of memory that is not used.
_SPARE_SHARE = 16
_TOLERANCE_SHARE = 64
_FILL_DEADLINE = 600.0
# The last lines of a change may come after the one that says that it is over.
_SETTLE_S = 0.5

# What the bars are about.
TIME = "time"
NOTIFICATIONS = "notifications"
_FEWER_NOTIFICATIONS = 8
_EXTENTS_FASTER = 8


def metric(qemu: str, state: str, direction: str, quarters: int, what: str) -> str:
    return f"{qemu}, {state}: {direction} {quarters}/4, {what}"


CHARTS: tuple[Chart, ...] = tuple(
    Chart(metric(qemu, state, direction, 3, TIME), f"{qemu}, {state} memory: {direction} 3/4 of it")
    for qemu in (STOCK, PATCHED)
    for direction in (INFLATE, DEFLATE)
    for state in (FRESH, USED)
)


def run(bench: Bench) -> None:
    missing = extents.why_not(bench.modules[RUST_MODULE])
    for number in range(bench.rounds):
        for guest_mib in bench.sizes or (_DEFAULT_MIB,):
            for case in _CASES:
                subject = case.driver.name
                if case.extents and missing:
                    bench.skip(guest_mib, subject, missing)
                    continue
                title = f"{guest_mib} MiB, {case.qemu}, {subject}"
                bench.say(f"round {number + 1} of {bench.rounds}: {title}")
                with bench.attempt(guest_mib, subject):
                    memory.require_host_memory(guest_mib, guests=1, name="BENCH_MEM")
                    _time(bench, guest_mib, case)
                    _count(bench, guest_mib, case)


def _machine(bench: Bench, guest_mib: int, case: Case, **device: bool) -> Machine:
    if case.extents:
        device[EXTENTS_NAME] = True
    return bench.machine(
        memory_mib=guest_mib,
        patched=case.qemu == PATCHED,
        balloon=Balloon(more=device),
        trace=balloon_clock.TRACE + trace.INTERRUPTS,
        extra=balloon_clock.EXTRA,
    )


def _time(bench: Bench, guest_mib: int, case: Case) -> None:
    """With notifications as QEMU has them by default: they do not hold up the guest's CPU, so a
    driver can go on while the device works."""
    subject = case.driver.name
    machine = _machine(bench, guest_mib, case, ioeventfd=True)
    with Guest(machine, bench.logs, f"{subject}-time") as guest:
        guest.boot()
        case.driver.load(guest)
        for state in (FRESH, USED):
            for quarters in QUARTERS:
                if state == USED:
                    _use_free_memory(guest)
                resident_kib = guest.resident_kib()
                for direction, remaining_mib in _directions(guest_mib, quarters):
                    change = balloon_clock.timed(guest, remaining_mib)
                    what = metric(case.qemu, state, direction, quarters, TIME)
                    bench.record(guest_mib, subject, what, "ms", change.ms)
                    if state == USED and direction == INFLATE:
                        back_mib = (resident_kib - guest.resident_kib()) / 1024
                        check_back(back_mib, guest_mib, quarters)
                        what = metric(case.qemu, state, direction, quarters, "back at the host")
                        bench.record(guest_mib, subject, what, "MiB", back_mib)
        console.check([guest.console_log])


def check_back(back_mib: float, guest_mib: int, quarters: int) -> None:
    """The host has to have the memory that it takes, or it is not what was to be measured."""
    balloon_mib = guest_mib * quarters // 4
    least_mib = balloon_mib - guest_mib // _SPARE_SHARE - guest_mib // _TOLERANCE_SHARE
    if back_mib < least_mib:
        raise ToolError(
            f"the balloon has {balloon_mib} MiB, but the host has {back_mib:.0f} MiB back, and not"
            f" {least_mib} MiB: no figure of this run counts"
        )


def _count(bench: Bench, guest_mib: int, case: Case) -> None:
    """In a guest of its own, whose clock counts instructions, and whose notifications all reach the
    device: an eventfd would merge some (tools/guest/machine.py)."""
    subject = case.driver.name
    machine = _machine(bench, guest_mib, case, ioeventfd=False)
    with Guest(counting.machine(machine), bench.logs, f"{subject}-count") as guest:
        guest.boot()
        case.driver.load(guest)
        queues = {
            INFLATE: QueueCounter(guest.trace_log, trace.INFLATE_QUEUE),
            DEFLATE: QueueCounter(guest.trace_log, trace.DEFLATE_QUEUE),
        }
        counter = Counter(guest)
        for quarters in QUARTERS:
            for direction, remaining_mib in _directions(guest_mib, quarters):
                found = _cost(guest, counter, queues[direction], remaining_mib)
                for what, (unit, value) in found.items():
                    name = metric(case.qemu, FRESH, direction, quarters, what)
                    bench.record(guest_mib, subject, name, unit, value)
        console.check([guest.console_log])


def _cost(
    guest: Guest, counter: Counter, queue: QueueCounter, remaining_mib: int
) -> dict[str, tuple[str, float]]:
    """What one change took: the unit and the value of each metric."""
    changes: list[Change] = []
    before = queue.read()
    instructions = counter.count(lambda: changes.append(balloon_clock.timed(guest, remaining_mib)))
    time.sleep(_SETTLE_S)
    traffic = queue.read() - before
    return {
        NOTIFICATIONS: ("", traffic.notifications),
        "buffers": ("", traffic.elements),
        "interrupts": ("", traffic.interrupts),
        "config writes": ("", changes[0].config_writes),
        "instructions": ("million", instructions / 1e6),
    }


def _directions(guest_mib: int, quarters: int) -> tuple[tuple[str, int], ...]:
    """Both ways, and what remains to the guest after each."""
    return (INFLATE, guest_mib - guest_mib * quarters // 4), (DEFLATE, guest_mib)


def _use_free_memory(guest: Guest) -> None:
    """Afterwards the host has memory behind most of what is free."""
    mib = guest.agent.mem_free_kib() // 1024 - guest.machine.memory_mib // _SPARE_SHARE
    guest.agent.call("fill", _FILL_DEADLINE, name="used", mib=mib, seed=21, huge=True)
    guest.agent.call("drop", name="used")


def bars(rows: Rows) -> list[Bar]:
    found: list[Bar] = []
    for guest_mib in rows.sizes():
        for state in (FRESH, USED):
            for direction in (INFLATE, DEFLATE):
                for quarters in QUARTERS:
                    found += _bars(rows, guest_mib, state, direction, quarters)
    return found


def _bars(rows: Rows, guest_mib: int, state: str, direction: str, quarters: int) -> list[Bar]:
    found = []

    def medians(qemu: str, ours: str, what: str) -> tuple[str, float, float] | None:
        """The metric's title, what the C driver has, and ours; None if one is not there."""
        name = metric(qemu, state, direction, quarters, what)
        theirs, mine = rows.median(guest_mib, "c", name), rows.median(guest_mib, ours, name)
        title = f"{guest_mib} MiB, {name}, {ours}"
        return None if theirs is None or mine is None else (title, theirs, mine)

    if both := medians(STOCK, RUST.name, TIME):
        title, theirs, mine = both
        found.append(at_most(f"{title}: ms, no more than the C driver's", mine, theirs))
    if both := medians(STOCK, RUST.name, NOTIFICATIONS):
        title, theirs, mine = both
        text = f"{title}: times fewer than the C driver's"
        found.append(at_least(text, theirs / max(mine, 1), _FEWER_NOTIFICATIONS))
    if both := medians(PATCHED, EXTENTS.name, TIME):
        title, theirs, mine = both
        text = f"{title}: times faster than the C driver"
        found.append(at_least(text, theirs / mine, _EXTENTS_FASTER))
    return found
