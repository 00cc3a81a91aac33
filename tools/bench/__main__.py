# SPDX-License-Identifier: GPL-2.0
"""Runs the chosen benchmarks; after each one table, chart and JSON."""

from __future__ import annotations

import datetime
import os
import shlex
import sys
import time

from rich.console import Console

from tools.bench import charts, host, settings, table
from tools.bench.bench import Bench
from tools.bench.report import Report
from tools.bench.suite import BENCHMARKS
from tools.guest import agent_build, drivers, paths
from tools.guest.errors import ToolError

_CHOICES = ("BENCH", "BENCH_ROUNDS", "BENCH_MEM")


def main() -> int:
    screen = Console(soft_wrap=True, highlight=False)
    try:
        chosen = settings.from_environment(BENCHMARKS)
        # All that the runs need is found or built before the first one.
        agent_build.build()
        modules = drivers.modules("plain")
        report = Report(paths.RESULTS / "bench.json", host.describe(), _command())
        good = True
        for name in chosen.names:
            bench = Bench(
                rounds=chosen.rounds,
                sizes=chosen.sizes,
                modules=modules,
                logs=paths.LOGS / "bench" / name,
                name=name,
                speak=screen.print,
            )
            good = _run(bench, report, screen) and good
    except ToolError as error:
        Console(stderr=True).print(f"bench: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130
    if not good:
        screen.print("Something failed or does not hold, see above.")
    return 0 if good else 1


def _command() -> str:
    """What to type to get the same."""
    given = [f"{name}={shlex.quote(os.environ[name])}" for name in _CHOICES if os.environ.get(name)]
    return " ".join(["make", "bench", *given])


def _run(bench: Bench, report: Report, screen: Console) -> bool:
    """Whether all was measured that was to be, and every bar holds."""
    benchmark = BENCHMARKS[bench.name]
    start = time.monotonic()
    began = datetime.datetime.now(datetime.timezone.utc)
    try:
        benchmark.run(bench)
    except ToolError as error:
        # Not in a subject's own run: it ends this benchmark, but none of the others.
        bench.fail(0, "all", error)
    rows = bench.samples.rows()
    bars = benchmark.bars(rows)
    about = {
        "date": began.isoformat(timespec="seconds"),
        "rounds": bench.rounds,
        "seconds": round(time.monotonic() - start),
    }
    report.put(bench.name, rows, bars, bench.skipped, bench.failures, about)
    title = f"{bench.name}: {benchmark.ABOUT}"
    table.show(title, rows, bench.skipped, screen)
    table.show_failures(bench.failures, screen)
    table.show_bars(bars, screen)
    picture = paths.RESULTS / f"bench-{bench.name}.png"
    if charts.draw(title, benchmark.CHARTS, rows, picture):
        screen.print(f"Written: {picture.relative_to(paths.ROOT)}")
    return bool(rows) and not bench.failures and all(bar.holds for bar in bars)


if __name__ == "__main__":
    sys.exit(main())
