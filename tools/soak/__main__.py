# SPDX-License-Identifier: GPL-2.0
"""Runs the soak: every chosen case, until its rounds are done or a page is wrong."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.guest import agent_build, drivers, memory, paths
from tools.guest.errors import ToolError
from tools.guest.machine import Machine
from tools.guest.results import write_json
from tools.soak import settings
from tools.soak.chain import Outcome, run


def main() -> int:
    screen = Console(soft_wrap=True, highlight=False)
    try:
        chosen = settings.from_environment()
        memory.require_host_memory(chosen.guest_mib)
        machine = _machine(chosen)
        screen.print(f"{chosen.rounds} migrations a case; again with SOAK_SEED={chosen.seed}")
        outcomes = _run_all(chosen, machine, screen)
    except ToolError as error:
        Console(stderr=True).print(f"soak: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0 if all(outcome.right or outcome.case.may_lose for outcome in outcomes) else 1


def _machine(chosen: settings.Settings) -> Machine:
    """Finds or builds all that the runs need, before the first one."""
    paths.lookup("QEMU_PATCHED")
    agent_build.build()
    return Machine(
        kernel=paths.kernel(chosen.flavour),
        modules=drivers.modules(chosen.flavour),
        memory_mib=chosen.guest_mib,
    )


def _run_all(chosen: settings.Settings, machine: Machine, screen: Console) -> list[Outcome]:
    outcomes = []
    for case in chosen.cases:
        start = time.monotonic()
        logs = paths.LOGS / "soak" / case.name
        with screen.status(case.name) as status:

            def say(text: str, name: str = case.name) -> None:
                status.update(f"{name}: {text}")

            outcome = run(case, machine, chosen.rounds, chosen.seed, logs, say)
        screen.print(_describe(outcome, logs, time.monotonic() - start), markup=False)
        outcomes.append(outcome)
        _write(chosen, outcomes)
        if outcome.lost and not case.may_lose:
            screen.print("Stopped: this must not happen.", markup=False)
            break
    return outcomes


def _describe(outcome: Outcome, logs: Path, seconds: float) -> str:
    case = outcome.case
    acts = ", ".join(f"{count} {name}" for name, count in sorted(outcome.acts.items()))
    verdict = outcome.verdict
    text = f"{case.name}: {outcome.rounds} migrations in {seconds:.0f} s, {verdict.pages:,} pages"
    text += f" compared; the host: {acts or 'did nothing else'}."
    if verdict.broken:
        text += f" The guest is BROKEN: {verdict.broken}."
    if verdict.wrong:
        text += f" {verdict.wrong} pages are WRONG in migration {outcome.rounds}."
    if outcome.lost:
        where = logs.relative_to(paths.ROOT)
        expected = "expected: the host does not guarantee what walk needs"
        text += f" ({expected})" if case.may_lose else f" Logs: {where}"
    elif case.may_lose:
        text += " No page was lost, although that was to be expected."
    else:
        text += " All right."
    return text


def _write(chosen: settings.Settings, outcomes: list[Outcome]) -> None:
    report: dict[str, Any] = {
        "seed": chosen.seed,
        "rounds": chosen.rounds,
        "guest_mib": chosen.guest_mib,
        "flavour": chosen.flavour,
        "cases": [
            {
                "driver": outcome.case.driver.name,
                "late_rearming": outcome.case.late,
                "expected_to_lose": outcome.case.may_lose,
                "rounds": outcome.rounds,
                "pages_compared": outcome.verdict.pages,
                "pages_wrong": outcome.verdict.wrong,
                "broken": outcome.verdict.broken,
                "skipped_bytes": outcome.skipped_bytes,
                "acts": dict(outcome.acts),
            }
            for outcome in outcomes
        ],
    }
    write_json(paths.RESULTS / "soak.json", report)


if __name__ == "__main__":
    sys.exit(main())
