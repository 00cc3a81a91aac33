# SPDX-License-Identifier: GPL-2.0
"""One guest that is migrated many times, each destination being the next source."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.guest import bitmap, console, drivers, file_cache, migration
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import Machine
from tools.soak import load
from tools.soak.cases import Case
from tools.soak.meddling import SLOW, Meddler

# The smallest pieces in which QEMU re-arms dirty tracking late: 2^6 pages. In larger ones the first
# page that is sent or skipped protects all the others, and less can go wrong.
_SMALL_PIECES = ("-global", "migration.x-clear-bitmap-shift=6")
_DEADLINE = 120.0
# A guest is killed so long after its start, which is a round before it is a source.
_GUEST_DEADLINE = 400.0


@dataclass
class Outcome:
    case: Case
    rounds: int = 0
    verdict: load.Verdict = field(default_factory=load.Verdict)
    skipped_bytes: int = 0
    acts: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> bool:
        return self.verdict.lost

    @property
    def right(self) -> bool:
        return self.rounds > 0 and self.verdict.right


def run(
    case: Case,
    machine: Machine,
    rounds: int,
    seed: int,
    logs: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Ends with the first round in which something is wrong; `logs` has the last two guests'.

    `machine` says which kernel, modules, and how much memory.
    """
    numbers = random.Random(f"{seed} {case.name}")
    machine = _machine(case, machine)
    outcome = Outcome(case)
    source = Guest(machine, logs, "left")
    try:
        source.boot()
        case.driver.load(source)
        _check_strategy(source, case)
        load.prepare(source)
        meddler = Meddler(
            numbers, bitmap.memory_end(source), case.driver.bitmap, always_late=case.may_lose
        )
        outcome.acts = meddler.done
        while outcome.rounds < rounds and not outcome.lost:
            name = "left" if source.name == "right" else "right"
            destination = Guest(machine, logs, name, incoming=True)
            try:
                load.start(source, numbers.randrange(1 << 32))
                _migrate(source, destination, meddler)
            except BaseException:
                destination.stop()
                raise
            source.stop()
            outcome.skipped_bytes += bitmap.skipped_bytes(source)
            source = destination
            outcome.rounds += 1
            load.check(source, outcome.verdict)
            verdict = outcome.verdict
            say(f"{outcome.rounds}/{rounds}, {verdict.wrong} wrong pages of {verdict.pages}")
        if not outcome.lost:
            _check_driver(source, case)
    finally:
        source.stop()
    return outcome


def _machine(case: Case, machine: Machine) -> Machine:
    return replace(
        machine,
        balloon=case.driver.balloon(),
        read_only_disks=(file_cache.disk(load.DISK_MIB),),
        patched=True,
        late_rearming=case.late,
        extra=_SMALL_PIECES,
        trace=bitmap.TRACE if case.driver.bitmap else (),
        deadline=_GUEST_DEADLINE,
    )


def _migrate(source: Guest, destination: Guest, meddler: Meddler) -> None:
    uri = migration.listen(destination)
    migration.set_limits(source, bandwidth=SLOW)
    meddler.start(source, uri)
    migration.set_limits(source)
    while migration.status(source)["status"] not in ("completed", "failed"):
        meddler.act(source)
    migration.wait(source, _DEADLINE)
    migration.wait_until_running(destination)


def _check_strategy(guest: Guest, case: Case) -> None:
    """It is not another one that the driver falls back to."""
    if case.driver.bitmap:
        return
    strategy = drivers.counters(guest)["strategy"]
    if strategy != case.driver.name.removeprefix("rust-"):
        raise ToolError(f"{case.name}: the driver uses {strategy}")


def _check_driver(guest: Guest, case: Case) -> None:
    """The guest's log is clean, and the driver still answers."""
    if case.driver.bitmap and bitmap.report(guest)["free-blocks"] == 0:
        raise ToolError(f"{case.name}: nothing is free after the last round")
    console.check([guest.console_log])
