# SPDX-License-Identifier: GPL-2.0
"""The benchmark of statistics: what it reads from QEMU's log."""

import pytest

from tools.guest import timed_log
from tools.guest.stats_clock import Refresh

LOG = """\
12@100.000000:virtio_queue_notify vdev 0x1 n 2 vq 0xc
12@101.000000:virtio_notify vdev 0x1 vq 0xc
12@101.000100:virtio_notify vdev 0x1 vq 0xa
12@101.000200:virtio_queue_notify vdev 0x1 n 0 vq 0xa
12@101.000250:virtio_queue_notify vdev 0x1 n 2 vq 0xc
"""


def test_answer_to_the_request():
    refresh = Refresh()
    seen = [refresh.see(timed_log.parse(line)) for line in LOG.splitlines()]
    assert seen == [False, False, False, False, True]
    assert refresh.ms == pytest.approx(0.25)
