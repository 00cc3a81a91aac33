# SPDX-License-Identifier: GPL-2.0
"""What a driver does to the balloon, from QEMU's trace log.

Measured on the host, so every driver is measured in the same way. The free page queue is always
the balloon's fourth, and no other virtio device of these guests has that many. The only other one
there may be is a disk, whose trace events name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

EVENTS = (
    "virtio_queue_notify",
    "virtqueue_pop",
    "virtio_set_status",
    "virtio_balloon_set_config",
    # Only to tell the disk from the balloon.
    "virtio_blk_req_complete",
)
FREE_PAGE_QUEUE = 3
DRIVER_OK = 4

_NOTIFY = re.compile(r"virtio_queue_notify vdev (\S+) n (\d+) vq (\S+)")
_POP = re.compile(r"virtqueue_pop vq (\S+) elem \S+ in_num (\d+) out_num (\d+)")
_STATUS = re.compile(r"virtio_set_status vdev (\S+) val (\d+)")
_CONFIG = re.compile(r"virtio_balloon_set_config actual: (\d+)")
_DISK = re.compile(r"virtio_blk_req_complete vdev (\S+)")


@dataclass(frozen=True)
class HintTraffic:
    # Times the driver notified the device about the queue.
    notifications: int = 0
    # Buffers the device took from the queue, the ones that carry an id included.
    elements: int = 0
    # Of those, buffers that carry an id (start and end of a round).
    ids: int = 0
    # Scatter-gather entries of the blocks.
    segments: int = 0

    def __sub__(self, other: HintTraffic) -> HintTraffic:
        return HintTraffic(
            self.notifications - other.notifications,
            self.elements - other.elements,
            self.ids - other.ids,
            self.segments - other.segments,
        )


class HintCounter:
    """Counts what the log has so far. Reads on from where it was: logs grow to 200 MB."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        # More than one free page queue if the balloon was unplugged and plugged.
        self._queues: set[str] = set()
        self._notifications = 0
        # Elements, ids and segments of every queue.
        self._pops: dict[str, list[int]] = {}

    def read(self) -> HintTraffic:
        if self._path.exists():
            with self._path.open("rb") as log:
                log.seek(self._offset)
                for line in log:
                    if not line.endswith(b"\n"):
                        break  # QEMU is still writing it.
                    self._offset += len(line)
                    self._count(line.decode(errors="replace"))
        found = [self._pops[queue] for queue in self._queues if queue in self._pops]
        elements, ids, segments = (sum(column) for column in zip([0] * 3, *found, strict=True))
        return HintTraffic(self._notifications, elements, ids, segments)

    def _count(self, line: str) -> None:
        if match := _POP.search(line):
            pops = self._pops.setdefault(match[1], [0, 0, 0])
            pops[0] += 1
            pops[1] += int(match[3]) > 0
            pops[2] += int(match[2])
        elif (match := _NOTIFY.search(line)) and int(match[2]) == FREE_PAGE_QUEUE:
            self._notifications += 1
            self._queues.add(match[3])


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
