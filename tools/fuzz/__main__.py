# SPDX-License-Identifier: GPL-2.0
"""Runs the fuzzer: sessions of a seed, or those to be replayed, until one fails."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tools.fuzz import closer_look, in_guest, report, settings
from tools.fuzz.closer_look import Finding, look_closer
from tools.fuzz.failure import Make
from tools.fuzz.replay import replay
from tools.fuzz.runner import Outcome, Run
from tools.fuzz.sessions import plan
from tools.guest import agent_build, memory, paths, patience
from tools.guest.errors import ToolError
from tools.guest.machine import Machine

# A guest has to boot before its sessions, and to be looked at after them.
_BOOT_S = 400.0


def main() -> int:
    # A terminal that is closed, or a timeout, is an interruption like any other; and so is the
    # usual one for what a script runs in the background, where it is ignored otherwise.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    screen = Console(soft_wrap=True, highlight=False)
    try:
        chosen = settings.from_environment()
        report.announce(chosen, screen)
        return fuzz(chosen, _in_guests(chosen), paths.RESULTS, screen)
    except ToolError as error:
        Console(stderr=True).print(f"fuzz: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        Console(stderr=True).print("fuzz: interrupted")
        return 130


def fuzz(chosen: settings.Settings, make: Make, results: Path, screen: Console) -> int:
    """Runs what was chosen where `make` says; returns the exit status."""
    (results / report.FAILURE).unlink(missing_ok=True)
    with screen.status("booting") as status:
        if chosen.replay:
            outcome, finding = replay(chosen.replay, make)
        else:
            outcome, finding = _search(chosen, make, screen, status.update)
    report.write(chosen, outcome, results)
    if finding:
        report.failure(chosen, finding, results, screen)
        return 1
    report.success(chosen, outcome, screen)
    return 0


def _search(
    chosen: settings.Settings, make: Make, screen: Console, say: Callable[[str], None]
) -> tuple[Outcome, Finding | None]:
    run = Run(plan(chosen.seed, chosen.steps), chosen.seconds, make, say)
    outcome = run.work(chosen.jobs)
    found = outcome.failure
    if found is None:
        return outcome, None
    screen.print(f"{found.kind.value}: {found.reason}; looking closer", markup=False)
    with make("replay") as executor:
        return outcome, look_closer(found, executor, say)


def _in_guests(chosen: settings.Settings) -> Make:
    """Finds or builds all that the guests need, before the first one."""
    patience.set_factor(settings.FLAVOURS[chosen.flavour])
    longest = max(chosen.seconds, closer_look.SECONDS) + _BOOT_S
    machine = in_guest.machine(chosen.flavour, longest)
    paths.lookup(machine.qemu)
    agent_build.build()
    _require_memory(machine, chosen.jobs)
    logs = paths.LOGS / "fuzz"
    shutil.rmtree(logs, ignore_errors=True)
    return lambda name: in_guest.GuestExecutor(machine, logs, name)


def _require_memory(machine: Machine, jobs: int) -> None:
    need = jobs * (machine.memory_mib + memory.OVERHEAD_MIB)
    have = memory.host_available_mib()
    if have < need:
        raise ToolError(
            f"{jobs} guests need {need} MiB of host memory, {have} MiB are available: close"
            " something or set FUZZ_JOBS to less"
        )


if __name__ == "__main__":
    sys.exit(main())
