# SPDX-License-Identifier: GPL-2.0
"""What a driver does to the balloon, from QEMU's trace log.

Measured on the host, so every driver is measured in the same way. The free page queue is always
the balloon's fourth, and no other virtio device of these guests has that many. The only other one
there may be is a disk, whose trace events name it; a guest whose other queues are counted has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from tools.guest.growing_log import GrowingLog

EVENTS = (
    "virtio_queue_notify",
    "virtqueue_pop",
    "virtio_set_status",
    "virtio_balloon_set_config",
    # Only to tell the disk from the balloon.
    "virtio_blk_req_complete",
)
# For `Machine.trace`: without it no interrupts are counted.
INTERRUPTS = ("virtio_notify",)
INFLATE_QUEUE = 0
DEFLATE_QUEUE = 1
STATISTICS_QUEUE = 2
FREE_PAGE_QUEUE = 3
DRIVER_OK = 4

_NOTIFY = re.compile(r"virtio_queue_notify vdev (\S+) n (\d+) vq (\S+)")
_POP = re.compile(r"virtqueue_pop vq (\S+) elem \S+ in_num (\d+) out_num (\d+)")
_INTERRUPT = re.compile(r"virtio_notify vdev \S+ vq (\S+)")
_STATUS = re.compile(r"virtio_set_status vdev (\S+) val (\d+)")
_CONFIG = re.compile(r"virtio_balloon_set_config actual: (\d+)")
_DISK = re.compile(r"virtio_blk_req_complete vdev (\S+)")


@dataclass(frozen=True)
class QueueTraffic:
    # Times the driver notified the device about the queue.
    notifications: int = 0
    # Buffers the device took from the queue, those that carry an id included.
    elements: int = 0
    # Of those, buffers for the device to read. In the free page queue they carry an id (start and
    # end of a round).
    ids: int = 0
    # Scatter-gather entries for the device to write; in the free page queue those of the blocks.
    segments: int = 0
    # Times the device interrupted the driver about the queue.
    interrupts: int = 0

    def __sub__(self, other: QueueTraffic) -> QueueTraffic:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return QueueTraffic(*(mine - theirs for mine, theirs in pairs))


@dataclass
class _Queue:
    elements: int = 0
    ids: int = 0
    segments: int = 0
    interrupts: int = 0


class QueueCounter:
    """Counts what the log has so far of one queue."""

    def __init__(self, path: Path, queue: int) -> None:
        self._log = GrowingLog(path)
        self._queue = queue
        # More than one if the balloon was unplugged and plugged.
        self._names: set[str] = set()
        self._notifications = 0
        # All queues: what happens to one may come before the line that gives its index away.
        self._found: dict[str, _Queue] = {}

    def read(self) -> QueueTraffic:
        for line in self._log.lines():
            self._count(line)
        found = [self._found[name] for name in self._names if name in self._found]
        return QueueTraffic(
            notifications=self._notifications,
            elements=sum(queue.elements for queue in found),
            ids=sum(queue.ids for queue in found),
            segments=sum(queue.segments for queue in found),
            interrupts=sum(queue.interrupts for queue in found),
        )

    def _count(self, line: str) -> None:
        if match := _POP.search(line):
            queue = self._of(match[1])
            queue.elements += 1
            queue.ids += int(match[3]) > 0
            queue.segments += int(match[2])
        elif match := _INTERRUPT.search(line):
            self._of(match[1]).interrupts += 1
        elif (match := _NOTIFY.search(line)) and int(match[2]) == self._queue:
            self._notifications += 1
            self._names.add(match[3])

    def _of(self, name: str) -> _Queue:
        return self._found.setdefault(name, _Queue())


@dataclass(frozen=True)
class Event:
    """`status` with the status written (0 is a reset), `notify` with the queue's index, or
    `config` with the `actual` that was written to the configuration, in pages."""

    kind: str
    value: int


def events(path: Path) -> list[Event]:
    """What the log has of the balloon's driver so far, in order."""
    found: list[tuple[str, Event]] = []
    disks: set[str] = set()
    if not path.exists():
        return []
    with path.open(errors="replace") as log:
        for line in log:
            if match := _STATUS.search(line):
                found.append((match[1], Event("status", int(match[2]))))
            elif match := _NOTIFY.search(line):
                found.append((match[1], Event("notify", int(match[2]))))
            elif match := _CONFIG.search(line):
                found.append(("", Event("config", int(match[1]))))
            elif match := _DISK.search(line):
                disks.add(match[1])
    return [event for device, event in found if device not in disks]


def early_notifications(seen: Iterable[Event]) -> list[int]:
    """The queues, by index, that were notified while the device had no DRIVER_OK."""
    live = False
    early = []
    for event in seen:
        if event.kind == "status":
            live = bool(event.value & DRIVER_OK)
        elif event.kind == "notify" and not live:
            early.append(event.value)
    return early
