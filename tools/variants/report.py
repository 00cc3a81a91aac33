# SPDX-License-Identifier: GPL-2.0
"""What came of the variants, as a table and as a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.guest import results
from tools.variants.boot import Tried

FILE = "variants.json"


@dataclasses.dataclass
class Outcome:
    name: str
    about: str
    # The kernel's release.
    release: str = "-"
    # How far the kernel was built: not at all, prepared, whole.
    kernel: str = "-"
    module: str = "-"
    kunit_module: str = "-"
    samples: str = "-"
    tried: Tried | None = None
    # The first thing that went wrong.
    failure: str = ""


def show(outcomes: Sequence[Outcome], screen: Console) -> None:
    table = Table(title="The module on kernels that are configured otherwise", pad_edge=False)
    for column in ("variant", "release", "kernel", "module", "with KUnit", "samples"):
        table.add_column(column)
    for column in ("KUnit in a guest", "driver"):
        table.add_column(column)
    for outcome in outcomes:
        table.add_row(outcome.name, outcome.release, outcome.kernel, outcome.module,
                      outcome.kunit_module, outcome.samples, *_tried(outcome))  # fmt: skip
    measured = screen.measure(table, options=screen.options.update(max_width=1000))
    Console(file=screen.file, width=max(screen.width, measured.maximum)).print(table)
    for outcome in outcomes:
        if outcome.failure:
            screen.print(f"{outcome.name}: {outcome.failure}", markup=False, soft_wrap=True)


def write(outcomes: Sequence[Outcome], folder: Path) -> None:
    results.write_json(folder / FILE, [dataclasses.asdict(outcome) for outcome in outcomes])


def _tried(outcome: Outcome) -> tuple[str, str]:
    if outcome.tried is None:
        failed = outcome.kernel == "whole" and outcome.samples == "built"
        return ("failed" if failed else "not tried",) * 2
    tried = outcome.tried
    skipped = f", {tried.skipped} skipped" if tried.skipped else ""
    return (
        f"{tried.passed} passed in {tried.suites} suites{skipped}",
        f"inflated, deflated, hinted ({tried.elements[0]} and {tried.elements[1]} elements)",
    )
