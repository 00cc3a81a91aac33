# SPDX-License-Identifier: GPL-2.0
"""The benchmark of the balloon's size: what it reads from QEMU's log, and its bars."""

import pytest

from tools.bench import extents
from tools.bench.benchmarks import inflate
from tools.bench.samples import Key, Samples
from tools.guest import timed_log
from tools.guest.balloon_clock import Change
from tools.guest.errors import ToolError
from tools.guest.trace import INFLATE_QUEUE, QueueCounter, QueueTraffic

MIB = 4096
INFLATION = """\
12@100.000100:virtio_balloon_set_config actual: 7 oldactual: 0
12@100.500000:virtio_balloon_to_target balloon target: 0xc0000000 num_pages: 512
12@100.500100:virtio_queue_notify vdev 0x1 n 0 vq 0xa
12@100.500150:virtqueue_pop vq 0xa elem 0x5 in_num 0 out_num 1
12@100.500200:virtio_notify vdev 0x1 vq 0xa
12@100.600000:virtio_balloon_set_config actual: 256 oldactual: 0
12@100.600100:virtio_queue_notify vdev 0x1 n 0 vq 0xa
12@100.600150:virtqueue_pop vq 0xa elem 0x5 in_num 0 out_num 1
12@100.600200:virtqueue_pop vq 0xb elem 0x5 in_num 0 out_num 1
12@100.625000:virtio_balloon_set_config actual: 512 oldactual: 256
12@100.700000:virtio_balloon_set_config actual: 512 oldactual: 512
"""


def _lines(text):
    return [timed_log.parse(line) for line in text.splitlines()]


def test_change_ends_when_target_is_reached():
    change = Change()
    seen = [change.see(line) for line in _lines(INFLATION)]
    assert seen.index(True) == 9
    assert change.pages == 512
    first = Change()
    for line in _lines(INFLATION)[:10]:
        first.see(line)
    assert first.config_writes == 2
    assert first.ms == pytest.approx(125)


def test_lines_without_time_are_none():
    assert timed_log.parse("virtio_balloon_set_config actual: 7 oldactual: 0") is None
    assert timed_log.parse("qemu-system-x86_64: warning: something") is None


def test_counts_one_queue(tmp_path):
    log = tmp_path / "log"
    log.write_text(INFLATION)
    counter = QueueCounter(log, INFLATE_QUEUE)
    expected = QueueTraffic(notifications=2, elements=2, ids=2, interrupts=1)
    assert counter.read() == expected
    assert counter.read() - expected == QueueTraffic()
    with log.open("a") as more:
        more.write("12@101.000000:virtqueue_pop vq 0xa elem 0x5 in_num 0 out_num 1\n12@102.0")
    assert (counter.read() - expected).elements == 1


def test_extents_in_device_help():
    assert extents.in_help("virtio-balloon-pci options:\n  extents=<bool>    - on/off\n")
    assert not extents.in_help("  event_idx=<bool>\n  no-extents=<bool>\n")


def test_extents_in_module():
    assert extents.in_module(b"license=GPL\0parmtype=extents:bool\0")
    assert not extents.in_module(b"license=GPL\0parmtype=inflate:bool\0")


def test_memory_has_to_come_back():
    inflate.check_back(3000.0, MIB, 3)
    with pytest.raises(ToolError, match="no figure"):
        inflate.check_back(2700.0, MIB, 3)
    # In the smallest guest, too, the balloon cannot be made of memory that was not used.
    with pytest.raises(ToolError, match="no figure"):
        inflate.check_back(100.0, 1024, 1)


def _rows(values):
    """Rows of the inflation of 3/4 from {(qemu, subject, what): value}."""
    samples = Samples()
    for (qemu, subject, what), value in values.items():
        name = inflate.metric(qemu, inflate.FRESH, inflate.INFLATE, 3, what)
        samples.add(Key("inflate", MIB, subject, name, ""), value)
    return samples.rows()


def test_bars_hold():
    found = inflate.bars(
        _rows(
            {
                (inflate.STOCK, "c", inflate.TIME): 800.0,
                (inflate.STOCK, "rust", inflate.TIME): 800.0,
                (inflate.STOCK, "c", inflate.NOTIFICATIONS): 3072,
                (inflate.STOCK, "rust", inflate.NOTIFICATIONS): 384,
                (inflate.PATCHED, "c", inflate.TIME): 800.0,
                (inflate.PATCHED, "rust-extents", inflate.TIME): 100.0,
            }
        )
    )
    assert len(found) == 3
    assert all(bar.holds for bar in found)


def test_bars_do_not_hold():
    found = inflate.bars(
        _rows(
            {
                (inflate.STOCK, "c", inflate.TIME): 800.0,
                (inflate.STOCK, "rust", inflate.TIME): 800.1,
                (inflate.STOCK, "c", inflate.NOTIFICATIONS): 3072,
                (inflate.STOCK, "rust", inflate.NOTIFICATIONS): 385,
                (inflate.PATCHED, "c", inflate.TIME): 800.0,
                (inflate.PATCHED, "rust-extents", inflate.TIME): 100.1,
            }
        )
    )
    assert len(found) == 3
    assert not any(bar.holds for bar in found)


def test_no_bar_without_measurement():
    assert inflate.bars(_rows({})) == []
    assert inflate.bars(_rows({(inflate.STOCK, "rust", inflate.TIME): 1.0})) == []
