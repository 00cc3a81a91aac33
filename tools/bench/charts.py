# SPDX-License-Identifier: GPL-2.0
"""What was measured, as a picture: one for each benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from tools.bench import table
from tools.bench.parts import Chart
from tools.bench.samples import Rows
from tools.guest.results import whole

# Chosen so that neighbours differ; a subject has the same one in all charts of a picture.
_COLOURS = pyplot.get_cmap("tab20").colors  # type: ignore[attr-defined]
_WIDTH = 0.84


def draw(about: str, charts: Sequence[Chart], rows: Rows, path: Path) -> bool:
    """Whether there was anything to draw."""
    measured = set(rows.metrics())
    shown = [chart for chart in charts if chart.metric in measured]
    if not shown:
        return False
    figure, axes = pyplot.subplots(len(shown), 1, figsize=(13, 4.5 * len(shown)), squeeze=False)
    for place, chart in zip(axes[:, 0], shown, strict=True):
        _columns(place, chart, rows)
    handles: dict[str, Artist] = {}
    for place in axes[:, 0]:
        handles.update({label: handle for handle, label in zip(*_legend(place), strict=True)})
    figure.suptitle(about)
    figure.legend(handles.values(), handles, loc="lower center", ncols=5, frameon=False)
    # The legend takes about an inch, the title half of one.
    height = 4.5 * len(shown)
    figure.tight_layout(rect=(0, 0.8 / height, 1, 1 - 0.4 / height))
    with whole(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    pyplot.close(figure)
    return True


def _legend(axes: Axes) -> tuple[list[Artist], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    return list(handles), list(labels)


def _columns(axes: Axes, chart: Chart, rows: Rows) -> None:
    subjects = rows.subjects()
    sizes = [mib for mib in rows.sizes() if _has(rows, mib, chart.metric)]
    present = [s for s in subjects if any(rows.find(m, s, chart.metric) for m in sizes)]
    width = _WIDTH / len(present)
    for index, subject in enumerate(present):
        found = [
            (place, row)
            for place, mib in enumerate(sizes)
            if (row := rows.find(mib, subject, chart.metric))
        ]
        places = [place + (index - (len(present) - 1) / 2) * width for place, _ in found]
        heights = [row.median for _, row in found]
        spread = [
            [row.median - row.min for _, row in found],
            [row.max - row.median for _, row in found],
        ]
        colour = _COLOURS[subjects.index(subject) % len(_COLOURS)]
        bars = axes.bar(places, heights, width * 0.94, color=colour, label=subject, yerr=spread)
        axes.bar_label(bars, [table.number(height) for height in heights], fontsize=7, padding=2)
    # Nothing is a height, too, and a logarithm has no place for it.
    axes.set_yscale("symlog" if chart.scale == "log" else chart.scale)
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
    axes.set_title(chart.title)
    units = {row.unit for row in rows if row.metric == chart.metric}
    scale = "log scale" if chart.scale == "log" else ""
    axes.set_ylabel(", ".join(filter(None, [*sorted(units), scale])))
    axes.set_xticks(range(len(sizes)), [table.size(mib) for mib in sizes])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _has(rows: Rows, mib: int, metric: str) -> bool:
    return any(row.guest_mib == mib and row.metric == metric for row in rows)
