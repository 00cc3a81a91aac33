# SPDX-License-Identifier: GPL-2.0
"""The report as a picture: total time and bytes, per scenario and driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

_COLOURS = {"none": "#9a9a9a", "c": "#4878a8", "rust-hold": "#d9823b", "rust-walk": "#5a9e5a"}
_LABELS = {
    "none": "no hinting",
    "c": "C driver",
    "rust-hold": "Rust, hold",
    "rust-walk": "Rust, walk",
}


def draw(report: dict[str, Any], path: Path) -> None:
    scenarios = [scenario for scenario in report["scenarios"] if scenario["runs"]]
    if not scenarios:
        return
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5.2))
    _bars(left, scenarios, "total_ms", 1000, "Total migration time", "seconds (log scale)")
    _bars(right, scenarios, "bytes", 1e6, "RAM sent", "MB (log scale)")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.suptitle(
        f"Live migration of a {scenarios[0]['guest_mib']} MiB guest (TCG, one run each)"
    )
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, dpi=120, format="png")
    partial.replace(path)
    pyplot.close(figure)


def _bars(
    axes: Axes, scenarios: list[dict[str, Any]], key: str, unit: float, title: str, label: str
) -> None:
    names = [
        name
        for name in _COLOURS
        if any(run["driver"] == name for scenario in scenarios for run in scenario["runs"])
    ]
    width = 0.84 / len(names)
    for position, name in enumerate(names):
        places, heights = [], []
        for index, scenario in enumerate(scenarios):
            for run in scenario["runs"]:
                if run["driver"] == name:
                    places.append(index + (position - (len(names) - 1) / 2) * width)
                    heights.append(run[key] / unit)
        bars = axes.bar(places, heights, width * 0.94, color=_COLOURS[name], label=_LABELS[name])
        texts = [f"{height:.2f}" if height < 10 else f"{height:.0f}" for height in heights]
        axes.bar_label(bars, texts, fontsize=8, padding=2)
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.set_title(title)
    axes.set_ylabel(label)
    axes.set_xticks(range(len(scenarios)), [scenario["name"] for scenario in scenarios])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
