# SPDX-License-Identifier: GPL-2.0
"""A zone as a row of cells, each with what share of its pages is free, and in which blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy

from tools.memory_map.dump import Block, Dump, Zone

# Blocks of at least this are as good as none fragmented: a huge page of x86-64.
LARGE_BYTES = 2 << 20
# About as many cells as one can see, of all zones together.
MOST_CELLS = 16384


@dataclass(frozen=True)
class Place:
    """The page frames that a zone has in all dumps that are shown together."""

    start: int
    end: int


@dataclass(frozen=True)
class Cells:
    """For each cell the share, 0 to 1, of its pages that is free in large and in small blocks."""

    large: numpy.ndarray
    small: numpy.ndarray
    # Of the whole zone.
    large_pages: int
    small_pages: int

    @property
    def free_pages(self) -> int:
        return self.large_pages + self.small_pages


def places(dumps: Sequence[Dump]) -> dict[tuple[int, str], Place]:
    """The zones of all dumps; one may have grown in between."""
    found: dict[tuple[int, str], Place] = {}
    for zone in (zone for dump in dumps for zone in dump.zones):
        old = found.get(zone.key, Place(zone.start, zone.end))
        found[zone.key] = Place(min(old.start, zone.start), max(old.end, zone.end))
    return found


def pages_per_cell(all_places: Sequence[Place]) -> int:
    """A power of two, so that blocks and cells have common borders."""
    pages, size = sum(place.end - place.start for place in all_places), 1
    while pages / size > MOST_CELLS:
        size *= 2
    return size


def large_order(page_size: int, max_order: int) -> int:
    """The order of the smallest block that is large."""
    return min(max(LARGE_BYTES // page_size, 1).bit_length() - 1, max_order)


def _apart(blocks: Sequence[Block]) -> Iterator[Block]:
    """Each page once: as it changes while it is read, a list may have a block or parts twice."""
    end = 0
    for block in sorted(blocks, key=lambda block: (block.start, -block.order)):
        if block.start >= end:
            end = block.end
            yield block


def make(zone: Zone, place: Place, cell: int, large_from: int) -> Cells:
    """Cells of `cell` pages, from the border at or before the zone's first page on."""
    base = place.start // cell * cell
    large, small = numpy.zeros((2, -(-(place.end - base) // cell)))
    pages = {True: 0, False: 0}
    for block in _apart(zone.blocks):
        is_large = block.order >= large_from
        size = block.end - block.start
        first, last = (block.start - base) // cell, (block.end - 1 - base) // cell
        # Both are powers of two and aligned: whole cells, or a part of one.
        (large if is_large else small)[first : last + 1] += min(size, cell) / cell
        pages[is_large] += size
    return Cells(large, small, pages[True], pages[False])
