# SPDX-License-Identifier: GPL-2.0
"""Draws dumps side by side: a column for each, a row for each zone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from tools.guest.errors import ToolError
from tools.guest.results import whole
from tools.memory_map import cells
from tools.memory_map.cells import Cells
from tools.memory_map.dump import Dump, Zone

# Red, green, blue, 0 to 1. A cell is the mean of its pages.
USED = (0.28, 0.30, 0.36)
LARGE = (0.45, 0.80, 0.55)
SMALL = (0.98, 0.66, 0.25)
# Past the end of a zone.
NOTHING = (1.0, 1.0, 1.0)

COLUMNS = 128
_CELL_INCHES = 0.045
_SPACE_INCHES = 0.35
_MARGIN_INCHES = 0.45


def colours(shown: Cells) -> numpy.ndarray:
    """Rows of COLUMNS cells each, with red, green and blue."""
    large, small = shown.large[:, None], shown.small[:, None]
    mixed = large * LARGE + small * SMALL + (1 - large - small) * USED
    rows = -(-len(mixed) // COLUMNS)
    filled = numpy.full((rows * COLUMNS, 3), NOTHING)
    filled[: len(mixed)] = mixed
    return filled.reshape(rows, COLUMNS, 3)


def mib(pages: int, page_size: int) -> str:
    return f"{pages * page_size / (1 << 20):,.0f} MiB"


def summary(zone: Zone, shown: Cells, page_size: int) -> str:
    """What there is to say of a zone in a line."""
    return (
        f"{zone.name}, node {zone.node}: {mib(zone.present, page_size)},"
        f" {mib(shown.free_pages, page_size)} free,"
        f" {mib(shown.small_pages, page_size)} of it in small blocks"
    )


def _common(sizes: set[int]) -> int:
    if len(sizes) > 1:
        raise ToolError("the dumps are of different machines: their pages or blocks differ in size")
    return sizes.pop()


def draw(dumps: Sequence[tuple[str, Dump]], path: Path) -> list[str]:
    """Draws dumps with their titles; returns a line about each zone of each."""
    page_size = _common({dump.page_size for _, dump in dumps})
    max_order = _common({dump.max_order for _, dump in dumps})
    large_from = cells.large_order(page_size, max_order)
    places = cells.places([dump for _, dump in dumps])
    cell = cells.pages_per_cell(list(places.values()))
    heights = [-(-(place.end - place.start) // cell // COLUMNS) or 1 for place in places.values()]
    figure, all_axes = pyplot.subplots(
        len(places),
        len(dumps),
        figsize=(
            len(dumps) * (COLUMNS * _CELL_INCHES + 0.6),
            sum(heights) * _CELL_INCHES + len(heights) * _SPACE_INCHES + 2 * _MARGIN_INCHES,
        ),
        squeeze=False,
        height_ratios=heights,
        layout="constrained",
    )
    lines = []
    for (title, dump), axes in zip(dumps, all_axes.T, strict=True):
        zones = {zone.key: zone for zone in dump.zones}
        for (key, place), axis in zip(places.items(), axes, strict=True):
            if key not in zones:
                _blank(axis, f"{key[1]}, node {key[0]}: not there")
                lines.append(f"{title}: {key[1]}, node {key[0]}: not there")
                continue
            shown = cells.make(zones[key], place, cell, large_from)
            text = summary(zones[key], shown, page_size)
            lines.append(f"{title}: {text}")
            _zone(axis, text, shown)
        first = axes[0].get_title(loc="left")
        axes[0].set_title(f"{title}\n\n{first}", loc="left", fontsize=8)
    figure.suptitle(
        f"Free memory; a cell is {cell * page_size // 1024} KiB,"
        f" a line {mib(cell * COLUMNS, page_size)}",
        fontsize=10,
    )
    least = mib(1 << large_from, page_size)
    figure.legend(
        handles=[
            Patch(color=LARGE, label=f"free, in blocks of {least} and more"),
            Patch(color=SMALL, label="free, in smaller blocks"),
            Patch(color=USED, label="in use, or no memory (and mixtures of these)"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
    pyplot.close(figure)
    return lines


def _blank(axis: Axes, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=8)
    axis.axis("off")


def _zone(axis: Axes, text: str, shown: Cells) -> None:
    axis.imshow(colours(shown), interpolation="nearest", aspect="equal")
    axis.set_title(text, loc="left", fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
