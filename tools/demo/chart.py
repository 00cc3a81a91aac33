# SPDX-License-Identifier: GPL-2.0
"""The report as a picture: total time and bytes, per scenario and driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from tools.guest.results import whole

_COLOURS = {
    "none": "#9a9a9a",
    "c": "#4878a8",
    "rust-hold": "#d9823b",
    "rust-walk": "#5a9e5a",
    "rust-bitmap": "#9467bd",
    "rust-bitmap-o0": "#c5a9e0",
    "rust-bitmap-drop": "#c44e52",
}
_LABELS = {
    "none": "no hinting",
    "c": "C driver",
    "rust-hold": "Rust, hold",
    "rust-walk": "Rust, walk",
    "rust-bitmap": "Rust, bitmap",
    "rust-bitmap-o0": "Rust, bitmap of single pages",
    "rust-bitmap-drop": "Rust, bitmap, caches dropped",
}


def draw(report: dict[str, Any], path: Path) -> None:
    scenarios = [scenario for scenario in report["scenarios"] if scenario["runs"]]
    if not scenarios:
        return
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(13, 10))
    _bars(upper, scenarios, "total_ms", 1000, "Total migration time", "seconds (log scale)")
    _bars(lower, scenarios, "bytes", 1e6, "RAM sent", "MB (log scale)")
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.suptitle(
        f"Live migration of a {scenarios[0]['guest_mib']} MiB guest (TCG, one run each)"
    )
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    with whole(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
    pyplot.close(figure)


def _bars(
    axes: Axes, scenarios: list[dict[str, Any]], key: str, unit: float, title: str, label: str
) -> None:
    width = 0.84 / max(len(scenario["runs"]) for scenario in scenarios)
    for name in _COLOURS:
        places, heights = [], []
        for index, scenario in enumerate(scenarios):
            # Side by side and centred, however many a scenario has.
            found = {run["driver"]: run for run in scenario["runs"]}
            names = [known for known in _COLOURS if known in found]
            if name in found:
                places.append(index + (names.index(name) - (len(names) - 1) / 2) * width)
                heights.append(found[name][key] / unit)
        if not places:
            continue
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
