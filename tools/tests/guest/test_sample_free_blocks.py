# SPDX-License-Identifier: GPL-2.0
"""The sample that shows the free blocks in debugfs: what it lists, and how it is read."""

import re
from collections import Counter
from dataclasses import replace

import pytest

from tools.guest import samples
from tools.guest.initramfs import MODULES
from tools.memory_map import dump

NAME = samples.FREE_BLOCKS.removesuffix(".ko")
FILE = samples.BLOCKS_FILE
# Pages that may come and go between two looks at a guest that does nothing else.
SLACK = 1024
# The large region: every second 16 KiB of it are free. Pages that lie side by side need not start
# where a block of four can; there is one of two in them in any case.
HOLES_MIB = 128
HOLE_BYTES = 16384
HOLE_ORDERS = (1, 2)


@pytest.fixture(scope="module")
def guest(shared, machine, flavour):
    """A guest of two nodes that has the samples, and holes in its memory."""
    modules = {**machine.modules, **samples.modules(flavour)}
    guest = shared.start(replace(machine, modules=modules, memory_mib=512, numa_nodes=2))
    guest.agent.call("fill", 120, name="large", mib=HOLES_MIB, seed=1, in_order=True)
    guest.agent.call("thin", name="large", block=HOLE_BYTES)
    return guest


@pytest.fixture
def load(guest):
    """Loads the sample, until the end of the test."""
    yield lambda parameters="": guest.insmod(samples.FREE_BLOCKS, parameters)
    guest.agent.run(f"rmmod {NAME}")


def _buddyinfo(guest):
    """By zone: how many free blocks of each order."""
    found = {}
    for line in guest.agent.read("/proc/buddyinfo").splitlines():
        # Node 0, zone   Normal   1   2 ...
        _, node, _, name, *counts = line.split()
        found[int(node.rstrip(",")), name] = [int(count) for count in counts]
    return found


def _pages(counts):
    return sum(count << order for order, count in enumerate(counts))


def test_the_list_is_what_the_kernel_counts(guest, load):
    """Zone by zone and order by order; nothing is in it twice."""
    load()
    before = _buddyinfo(guest)
    found = samples.free_blocks(guest)
    after = _buddyinfo(guest)
    assert {zone.key for zone in found.zones} == set(before)
    assert {zone.node for zone in found.zones} == {0, 1}
    holes = 0
    for zone in found.zones:
        counts = Counter(block.order for block in zone.blocks)
        listed = [counts[order] for order in range(found.max_order + 1)]
        for counted in (before[zone.key], after[zone.key]):
            assert len(counted) == len(listed)
            assert abs(_pages(counted) - _pages(listed)) < SLACK, (zone.key, counted, listed)
        for order, count in enumerate(listed):
            low, high = sorted((before[zone.key][order], after[zone.key][order]))
            slack = max(8, SLACK >> (order + 1))
            assert low - slack <= count <= high + slack, (zone.key, order, listed)
        pages = [page for block in zone.blocks for page in range(block.start, block.end)]
        assert len(pages) - len(set(pages)) < SLACK
        holes += sum(counts[order] for order in HOLE_ORDERS)
    # Most of the holes: they do not agree by there being none.
    assert holes > HOLES_MIB * (1 << 20) // HOLE_BYTES // 4


def test_zones_are_where_the_kernel_has_them(guest, load):
    load("order=10")
    for zone in samples.free_blocks(guest).zones:
        text = re.search(
            rf"^Node {zone.node}, zone +{zone.name}$(.*?)(?=^Node|\Z)",
            guest.agent.read("/proc/zoneinfo"),
            re.MULTILINE | re.DOTALL,
        )[1]
        number = {
            name: int(re.search(rf"^ +{name}:? +(\d+)$", text, re.MULTILINE)[1])
            for name in ("start_pfn", "spanned", "present")
        }
        assert (zone.start, zone.end - zone.start, zone.present) == (
            number["start_pfn"],
            number["spanned"],
            number["present"],
        )


def test_only_blocks_of_the_order(guest, load):
    load("order=9 batch=1")
    found = samples.free_blocks(guest)
    assert found.order == 9
    orders = Counter(block.order for zone in found.zones for block in zone.blocks)
    assert set(orders) == {9, 10}
    counted = _buddyinfo(guest).values()
    for order in orders:
        assert abs(orders[order] - sum(counts[order] for counts in counted)) <= 8


def test_wrong_parameters_are_refused(guest):
    for wrong, says in (
        ("order=11", "order=11 is out of range: use 0 to 10"),
        ("batch=0", "batch=0 is out of range: use 1 to 1024"),
        ("batch=1025", "batch=1025 is out of range: use 1 to 1024"),
        ("order=-1", "`-1' invalid for parameter `order'"),
    ):
        code, output = guest.agent.try_run(f"insmod {MODULES}/{samples.FREE_BLOCKS} {wrong}")
        assert code, wrong
        assert "nvalid" in output, output
        guest.wait_for_log(says)
    assert NAME not in guest.agent.run("lsmod; ls /sys/kernel/debug")


def test_each_reader_has_a_place_of_its_own(guest, load):
    """In small pieces, from an offset on, and two at a time: it is a list each time."""
    load("order=8")
    # The descriptors stay open from one command to the next, and are read from in turns.
    text = guest.agent.run(
        f"exec 3<{FILE} 4<{FILE}; head -c 300 <&3 >/dev/null; "
        "dd bs=7 <&4 2>/dev/null; exec 4<&-; echo --; cat <&3"
    )
    small, _, rest = text.partition("--\n")
    assert dump.parse(small, "small pieces").zones
    assert rest.splitlines()[-1].startswith("end zones=")
    # The same list, as long as nobody allocates or frees much.
    whole, later = guest.agent.run(f"cat {FILE}; echo --; tail -c +40 {FILE}").split("--\n")
    heading = whole.splitlines()[0]
    assert later.startswith(whole[len(heading[:39]) : len(heading)])
    assert later.splitlines()[-1].split()[:2] == whole.splitlines()[-1].split()[:2]
    # From the beginning again.
    assert guest.agent.run(f"(head -n 1; head -n 1) <{FILE}").startswith(heading)


def test_the_module_stays_while_the_file_is_open(guest, load):
    """What debugfs does when the file is closed is code of the module."""
    load()
    script = f"exec 3<{FILE}; head -n 1 <&3; rmmod {NAME} 2>&1; echo code $?; cat <&3 >/dev/null"
    heading, *refusal, code = guest.agent.run(script).splitlines()
    assert heading.startswith("free-blocks")
    assert code != "code 0"
    assert "temporarily unavailable" in refusal[0] or "busy" in refusal[0]
