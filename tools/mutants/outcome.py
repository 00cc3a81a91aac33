# SPDX-License-Identifier: GPL-2.0
"""What became of the mutants: for the screen and for `build/mutants.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.guest.results import write_json

CAUGHT = "caught"
# All of its tests passed.
SURVIVED = "SURVIVED"
# An error of the list.
NOT_BUILT = "NOT BUILT"
# The tests came to no end.
NO_VERDICT = "NO VERDICT"


@dataclass(frozen=True)
class Outcome:
    name: str
    file: str
    about: str
    tests: tuple[str, ...]
    verdict: str
    # The test that failed, and what it said.
    caught_by: str = ""
    message: str = ""
    # The guest had ceased to answer.
    hung: bool = False
    seconds: float = 0.0

    @property
    def line(self) -> str:
        by = f" by {self.caught_by}" if self.caught_by else ""
        hung = ", hung" if self.hung else ""
        return f"{self.name}: {self.verdict}{by}{hung}, {self.seconds:.0f} s: {self.message}"


def write(path: Path, outcomes: list[Outcome], baseline_s: float) -> None:
    report = {
        "baseline_seconds": round(baseline_s, 1),
        "mutants": [asdict(outcome) for outcome in outcomes],
    }
    write_json(path, report)


def show(outcomes: list[Outcome], screen: Console) -> None:
    table = Table("mutant", "verdict", "caught by", "message", "s")
    for outcome in outcomes:
        table.add_row(
            outcome.name,
            f"{outcome.verdict}, hung" if outcome.hung else outcome.verdict,
            outcome.caught_by,
            outcome.message,
            f"{outcome.seconds:.0f}",
            style=None if outcome.verdict == CAUGHT else "red",
        )
    screen.print(table, markup=False)
    caught = sum(outcome.verdict == CAUGHT for outcome in outcomes)
    screen.print(f"{caught} of {len(outcomes)} mutants were caught.")
