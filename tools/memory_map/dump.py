# SPDX-License-Identifier: GPL-2.0
"""Reads what the sample rust_free_blocks writes, see Documentation/samples/index.rst."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.guest.errors import ToolError

VERSION = 1
_HEADING = re.compile(r"free-blocks (\d+) page_size=(\d+) order=(\d+) max_order=(\d+)")
_ZONE = re.compile(r"zone node=(\d+) name=(\S+) start=(\d+) end=(\d+) present=(\d+)")
_BLOCK = re.compile(r"(\d+) (\d+)")
_END = re.compile(r"end zones=(\d+) blocks=(\d+)")


@dataclass(frozen=True)
class Block:
    # The number of its first page frame; it has 2^order pages.
    start: int
    order: int

    @property
    def end(self) -> int:
        return self.start + (1 << self.order)


@dataclass(frozen=True)
class Zone:
    """Page frames from `start` to before `end`, of which `present` are there."""

    node: int
    name: str
    start: int
    end: int
    present: int
    blocks: tuple[Block, ...]

    @property
    def key(self) -> tuple[int, str]:
        return self.node, self.name


@dataclass(frozen=True)
class Dump:
    page_size: int
    # The smallest blocks that it lists, and the largest that there are.
    order: int
    max_order: int
    zones: tuple[Zone, ...]


class _Wrong(Exception):
    """A line that must not be there, and why."""


class _Reader:
    def __init__(self) -> None:
        self._heading: tuple[int, int, int] | None = None
        self._zones: list[tuple[int, str, int, int, int]] = []
        self._blocks: list[list[Block]] = []
        self._ended = False

    def take(self, line: str) -> None:
        if self._ended:
            raise _Wrong("it goes on after its end")
        if self._heading is None:
            self._take_heading(line)
        elif found := _BLOCK.fullmatch(line):
            self._take_block(Block(int(found[1]), int(found[2])))
        elif found := _ZONE.fullmatch(line):
            self._take_zone(int(found[1]), found[2], *(int(found[n]) for n in (3, 4, 5)))
        elif found := _END.fullmatch(line):
            self._take_end(int(found[1]), int(found[2]))
        else:
            raise _Wrong("it is no line of such a file")

    def _take_heading(self, line: str) -> None:
        found = _HEADING.fullmatch(line)
        if not found:
            raise _Wrong("it does not begin with 'free-blocks'")
        version, *rest = (int(number) for number in found.groups())
        if version != VERSION:
            raise _Wrong(f"it has format {version}, this tool knows {VERSION}")
        page_size, order, max_order = rest
        if order > max_order or page_size == 0 or page_size & (page_size - 1):
            raise _Wrong("these are no sizes of pages and blocks")
        self._heading = page_size, order, max_order

    def _take_zone(self, node: int, name: str, start: int, end: int, present: int) -> None:
        if any((node, name) == zone[:2] for zone in self._zones):
            raise _Wrong("this zone was there already")
        if not 0 < present <= end - start:
            raise _Wrong("the zone cannot have so many pages")
        self._zones.append((node, name, start, end, present))
        self._blocks.append([])

    def _take_block(self, block: Block) -> None:
        assert self._heading
        _, order, max_order = self._heading
        if not self._zones:
            raise _Wrong("a block before the first zone")
        if not order <= block.order <= max_order:
            raise _Wrong(f"the block's order is not from {order} to {max_order}")
        if block.start % (1 << block.order):
            raise _Wrong("no block of this order begins there")
        *_, start, end, _ = self._zones[-1]
        if not start <= block.start < block.end <= end:
            raise _Wrong("the block is not in its zone")
        self._blocks[-1].append(block)

    def _take_end(self, zones: int, blocks: int) -> None:
        found = len(self._zones), sum(len(blocks) for blocks in self._blocks)
        if found != (zones, blocks):
            raise _Wrong(f"lines are missing: there are {found[0]} zones and {found[1]} blocks")
        self._ended = True

    def finish(self) -> Dump:
        if self._heading is None:
            raise _Wrong("it is empty")
        if not self._ended:
            raise _Wrong("it was cut off: the line 'end' is missing")
        if not self._zones:
            raise _Wrong("it has no zones")
        zones = zip(self._zones, self._blocks, strict=True)
        return Dump(*self._heading, tuple(Zone(*zone, tuple(blocks)) for zone, blocks in zones))


def _error(name: str, line: int, why: str) -> ToolError:
    return ToolError(
        f"{name}, line {line}: {why}. It has to be what"
        " /sys/kernel/debug/rust_free_blocks/blocks gives, all of it"
    )


def parse(text: str, name: str) -> Dump:
    """`name` is what errors call it."""
    reader, number = _Reader(), 0
    try:
        for number, line in _lines(text):
            reader.take(line)
        return reader.finish()
    except _Wrong as wrong:
        raise _error(name, number, str(wrong)) from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    yield from enumerate(text.splitlines(), 1)


def read(path: Path) -> Dump:
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _error(str(path), 1, "it is not text") from None
    return parse(text, str(path))
