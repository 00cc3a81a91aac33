# SPDX-License-Identifier: GPL-2.0
"""Counts what goes over the balloon's free page virtqueue, from QEMU's trace log.

Measured on the host, so every driver is measured in the same way. The balloon is the only
virtio device of these guests, and the free page queue is always its fourth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

EVENTS = ("virtio_queue_notify", "virtqueue_pop")
FREE_PAGE_QUEUE = 3

_NOTIFY = re.compile(r"virtio_queue_notify vdev (\S+) n (\d+) vq (\S+)")
_POP = re.compile(r"virtqueue_pop vq (\S+) elem \S+ in_num (\d+) out_num (\d+)")


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


def count(path: Path) -> HintTraffic:
    """What the log has so far."""
    queue: str | None = None
    notifications = 0
    pops: dict[str, list[tuple[int, int]]] = {}
    if not path.exists():
        return HintTraffic()
    with path.open(errors="replace") as log:
        for line in log:
            if match := _POP.search(line):
                pops.setdefault(match[1], []).append((int(match[2]), int(match[3])))
            elif (match := _NOTIFY.search(line)) and int(match[2]) == FREE_PAGE_QUEUE:
                notifications += 1
                queue = match[3]
    popped = pops.get(queue, []) if queue else []
    return HintTraffic(
        notifications=notifications,
        elements=len(popped),
        ids=sum(1 for _, outs in popped if outs),
        segments=sum(ins for ins, _ in popped),
    )
