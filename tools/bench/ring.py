# SPDX-License-Identifier: GPL-2.0
"""What went through the free page queue, and when, from QEMU's trace log.

By the host's clock; the driver has no part in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tools.guest import timed_log
from tools.guest.errors import ToolError
from tools.guest.growing_log import GrowingLog
from tools.guest.timed_log import Line
from tools.guest.trace import FREE_PAGE_QUEUE

# For `Machine.extra` and `Machine.trace`: without them nothing is found.
EXTRA = timed_log.TIMESTAMPS
# The host asks for hints right after this one.
_HINT_REQUEST = "migration_bitmap_sync_end"
_BITMAP_REQUEST = "virtio_balloon_bitmap_request"
_BITMAP_REPORT = "virtio_balloon_bitmap_report"
TRACE = (_HINT_REQUEST, _BITMAP_REQUEST, _BITMAP_REPORT)
DESCRIPTOR_BYTES = 16
# What the device reads from a buffer: a command's id, or a report and its bitmap.
_ID_BYTES = 4
_REPORT_BYTES = 32
_DONE = 0

_NOTIFY = re.compile(r"vdev \S+ n (\d+) vq (\S+)")
_POP = re.compile(r"vq (\S+) elem \S+ in_num (\d+) out_num (\d+)")
_REPORT = re.compile(r"id: \S+ status: (\d+) error: \d+ order: \d+ nr_bits: (\d+)")


@dataclass(frozen=True)
class Ring:
    """One round of hints, or one request for a bitmap and all that came of it."""

    # From the host's request to its hearing that there is no more.
    ms: float
    notifications: int
    # Buffers that the device took, and the descriptors that these consisted of.
    elements: int
    descriptors: int
    # Buffers that told a command's id; the other ones are blocks.
    ids: int
    # The bitmap of each report, in bytes.
    bitmaps: tuple[int, ...]
    bits: int

    @property
    def bytes(self) -> int:
        """Descriptors, and what the device reads in the buffers. Blocks are not read."""
        payload = self.ids * _ID_BYTES + len(self.bitmaps) * _REPORT_BYTES + sum(self.bitmaps)
        return self.descriptors * DESCRIPTOR_BYTES + payload


def read(log: Path, start: int, bitmap: bool) -> Ring:
    """All since `start`, where the log ended once; the round has to be over by now."""
    reader = _Reader(bitmap)
    for text in GrowingLog(log, start).lines():
        # The log may have begun with half a line.
        if line := timed_log.parse(text):
            reader.take(line)
    return reader.ring()


class _Reader:
    def __init__(self, bitmap: bool) -> None:
        self._bitmap = bitmap
        self._request = _BITMAP_REQUEST if bitmap else _HINT_REQUEST
        self._asked: list[int] = []
        self._ended: int | None = None
        self._notifications = 0
        # The queue's address, once it is known, and what was taken from each: ins and outs.
        self._queue = ""
        self._pops: dict[str, list[tuple[int, int, int]]] = {}
        self._bitmaps: list[int] = []
        self._bits = 0

    def take(self, line: Line) -> None:
        micros, event, rest = round(line.time * 1_000_000), line.event, line.text
        if event == "virtqueue_pop" and (match := _POP.match(rest)):
            self._pops.setdefault(match[1], []).append((micros, int(match[2]), int(match[3])))
        elif event == "virtio_queue_notify" and (match := _NOTIFY.match(rest)):
            if int(match[1]) == FREE_PAGE_QUEUE:
                self._notifications += 1
                self._queue = match[2]
        elif event == self._request:
            self._asked.append(micros)
        elif event == _BITMAP_REPORT and (match := _REPORT.match(rest)):
            self._bitmaps.append(-(-int(match[2]) // 64) * 8)
            self._bits += int(match[2])
            if int(match[1]) == _DONE:
                self._ended = micros

    def ring(self) -> Ring:
        pops = self._pops.get(self._queue, [])
        ids = [micros for micros, _, outs in pops if outs and not self._bitmap]
        if not self._bitmap and len(ids) >= 2:
            self._ended = ids[1]
        if not self._asked or self._ended is None:
            raise ToolError("the trace log does not have a whole round: is QEMU the patched one?")
        if any(asked < self._ended for asked in self._asked[1:]):
            raise ToolError("the host asked again before the round was over: it is not a whole one")
        return Ring(
            ms=(self._ended - self._asked[0]) / 1000,
            notifications=self._notifications,
            elements=len(pops),
            descriptors=sum(ins + outs for _, ins, outs in pops),
            ids=len(ids),
            bitmaps=tuple(self._bitmaps),
            bits=self._bits,
        )
