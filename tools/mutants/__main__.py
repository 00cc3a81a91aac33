# SPDX-License-Identifier: GPL-2.0
"""Runs the mutation check: `python -m tools.mutants [NAME...]`, or `--table` for the list as it
is in the documentation."""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from tools.guest import paths
from tools.guest.errors import ToolError
from tools.mutants import documentation, outcome, process
from tools.mutants.catalogue import MUTANTS
from tools.mutants.mutant import Mutant, hung, node, one_line
from tools.mutants.outcome import Outcome
from tools.mutants.scratch import DoesNotBuild, Scratch

# For a test, whatever the deadlines in it are.
_TEST_S = 600.0
_RESULTS = paths.BUILD / "mutants.json"
_LOGS = paths.LOGS / "mutants"


def main() -> int:
    chosen = _arguments()
    if not chosen:
        sys.stdout.write(documentation.table(MUTANTS))
        return 0
    # Wide enough for the table where there is no screen.
    screen = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        outcomes = _run(chosen, screen)
    except (ToolError, process.TooLong) as error:
        Console(stderr=True).print(f"mutants: {error}", markup=False, highlight=False)
        return 2
    except KeyboardInterrupt:
        return 130
    outcome.show(outcomes, screen)
    return 0 if all(each.verdict == outcome.CAUGHT for each in outcomes) else 1


def _arguments() -> list[Mutant]:
    """The mutants to run; none if the table is wanted."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("name", nargs="*", help="mutants to run (default: all)")
    parser.add_argument("--table", action="store_true", help="print the list as documentation")
    given = parser.parse_args()
    if given.table:
        return []
    unknown = set(given.name) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return [mutant for mutant in MUTANTS if not given.name or mutant.name in given.name]


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _run(chosen: list[Mutant], screen: Console) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with _place() as place:
        scratch = Scratch(paths.ROOT, place, _LOGS)
        start = time.monotonic()
        _baseline(scratch, chosen, screen)
        took = time.monotonic() - start
        for number, mutant in enumerate(chosen, 1):
            with screen.status(f"{number}/{len(chosen)} {mutant.name}"):
                done = _try(scratch, mutant)
            screen.print(f"{number}/{len(chosen)} {done.line}", markup=False)
            outcomes.append(done)
            outcome.write(_RESULTS, outcomes, took)
    return outcomes


@contextmanager
def _place() -> Iterator[Path]:
    """Where the copy of the tree is to be, which goes at the end."""
    paths.BUILD.mkdir(exist_ok=True)
    place = paths.BUILD / "mutants"
    with (paths.BUILD / "mutants.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ToolError("another mutation check is running in this tree") from None
        # What one left behind that was killed.
        for old in (place, _LOGS):
            shutil.rmtree(old, ignore_errors=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _baseline(scratch: Scratch, chosen: list[Mutant], screen: Console) -> None:
    """Without a fault everything passes; else what follows would show nothing."""
    for mutant in chosen:
        mutant.changed((scratch.tree / mutant.file).read_text())
    tests = list(dict.fromkeys(node(test) for mutant in chosen for test in mutant.tests))
    start = time.monotonic()
    with screen.status(f"{len(tests)} tests without a fault"):
        try:
            scratch.build("baseline")
        except DoesNotBuild as error:
            raise ToolError(f"the tree does not build as it is: {error}") from None
        failures = scratch.test("baseline", tests, _TEST_S * len(tests))
    if failures:
        first = failures[0]
        raise ToolError(f"without a fault {first.test} fails: {one_line(first.message)}")
    screen.print(f"{len(tests)} tests pass without a fault, {time.monotonic() - start:.0f} s")


def _try(scratch: Scratch, mutant: Mutant) -> Outcome:
    start = time.monotonic()
    caught_by, message, dead = "", "", False
    try:
        with mutant.applied(scratch.tree):
            scratch.build(mutant.name)
            tests = [node(test) for test in mutant.tests]
            failures = scratch.test(mutant.name, tests, _TEST_S * len(tests))
    except DoesNotBuild as error:
        verdict, message = outcome.NOT_BUILT, str(error)
    except process.TooLong as error:
        verdict, message = outcome.NO_VERDICT, str(error)
    else:
        verdict = outcome.CAUGHT if failures else outcome.SURVIVED
        if failures:
            caught_by, message = failures[0].test, one_line(failures[0].message)
            dead = any(hung(failure.message) for failure in failures)
    return Outcome(
        name=mutant.name,
        file=mutant.file,
        about=mutant.about,
        tests=mutant.tests,
        verdict=verdict,
        caught_by=caught_by,
        message=message,
        hung=dead,
        seconds=time.monotonic() - start,
    )


if __name__ == "__main__":
    sys.exit(main())
