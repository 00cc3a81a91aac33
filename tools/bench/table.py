# SPDX-License-Identifier: GPL-2.0
"""What was measured, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from tools.bench.bench import Missing
from tools.bench.parts import Bar
from tools.bench.samples import Row, Rows

_WIDEST = 1000


def show(about: str, rows: Rows, skipped: Sequence[Missing], screen: Console) -> None:
    """A line for each size and metric, a column for each subject: medians, and the spread."""
    # Subjects that could not be measured at all have a column, too.
    subjects = list(dict.fromkeys([*rows.subjects(), *(missing.subject for missing in skipped)]))
    table = Table(title=f"{about}\nmedian (least - most)", pad_edge=False)
    for column in ("guest", "metric"):
        table.add_column(column, no_wrap=True)
    for subject in subjects:
        table.add_column(subject, justify="right", no_wrap=True)
    for mib in rows.sizes():
        for index, (metric, unit) in enumerate(_metrics(rows, mib)):
            cells = [_cell(rows.find(mib, subject, metric)) for subject in subjects]
            what = f"{metric} [{unit}]" if unit else metric
            table.add_row(size(mib) if index == 0 else "", what, *cells)
        table.add_section()
    # Wrapped by the terminal if it must be; cut off it would be useless.
    wide = Console(file=screen.file, width=_WIDEST, markup=False, highlight=False)
    wide.width = max(screen.width, wide.measure(table).maximum)
    wide.print(table)
    for missing in skipped:
        _say(f"not measured: {size(missing.guest_mib)}, {missing.subject}: {missing.why}", screen)


def show_failures(failures: Iterable[Missing], screen: Console) -> None:
    for missing in failures:
        where = f"{missing.name}, {size(missing.guest_mib)}, {missing.subject}"
        _say(f"FAILED: {where}: {missing.why}", screen)


def show_bars(bars: Iterable[Bar], screen: Console) -> None:
    for bar in bars:
        mark = "holds         " if bar.holds else "DOES NOT HOLD "
        _say(f"{mark} {bar.text}: {number(bar.value)}, limit {number(bar.limit)}", screen)


def size(mib: int) -> str:
    return f"{mib // 1024} GiB" if mib % 1024 == 0 else f"{mib} MiB"


def number(value: float) -> str:
    """As many digits as say something."""
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


def _metrics(rows: Rows, mib: int) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.metric, row.unit) for row in rows if row.guest_mib == mib))


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    if row.min == row.max:
        return number(row.median)
    return f"{number(row.median)} ({number(row.min)} - {number(row.max)})"


def _say(text: str, screen: Console) -> None:
    screen.print(text, markup=False, highlight=False, soft_wrap=True)
