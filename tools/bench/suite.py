# SPDX-License-Identifier: GPL-2.0
"""The benchmarks that there are, and what each one consists of."""

from __future__ import annotations

from typing import Protocol

from tools.bench.bench import Bench
from tools.bench.benchmarks import (
    fragmented,
    inflate,
    lock,
    migration,
    module,
    report,
    reporting,
    statistics,
)
from tools.bench.parts import Bar, Chart
from tools.bench.samples import Rows


class Benchmark(Protocol):
    """A module in tools/bench/benchmarks."""

    # One line, for the table's title.
    ABOUT: str
    CHARTS: tuple[Chart, ...]

    def run(self, bench: Bench) -> None:
        """Measures. Subjects take turns within each round, so that a busy host hits all alike."""

    def bars(self, rows: Rows) -> list[Bar]:
        """What has to hold. No bar is made from rows that are not there."""


BENCHMARKS: dict[str, Benchmark] = {
    "report": report,
    "fragmented": fragmented,
    "lock": lock,
    "migration": migration,
    "inflate": inflate,
    "reporting": reporting,
    "statistics": statistics,
    "module": module,
}
