# SPDX-License-Identifier: GPL-2.0
"""Free page reporting and page poisoning, as the host sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.guest import hinting
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.trace import DRIVER_OK

# For `Machine.trace`: without it blocks() finds nothing.
TRACE = ("ram_block_discard_range",)
# The queue's index in a device that has all the features.
QUEUE = 4
PAGE = 4096
HUGE_PAGE = 2 << 20
_PARAMETERS = "/sys/module/page_reporting/parameters"
_DISCARD = re.compile(r"ram_block_discard_range ram\S*@0x([0-9a-f]+) \+ 0x([0-9a-f]+)")
# Where the device's own configuration lies, and a field in it.
_CONFIG_REGION = "virtio-pci-device-virtio-balloon"
_CONFIG = re.compile(rf"([0-9a-f]{{16}})-\S+ .* {_CONFIG_REGION}")
_POISON_OFFSET = 12
_STATUS = re.compile(r"virtio_set_status vdev \S+ val (\d+)")
_WRITE = re.compile(
    r"memory_region_ops_write .* addr 0x([0-9a-f]+) value 0x([0-9a-f]+) size 4 name '(\S+)'"
)


@dataclass(frozen=True)
class Block:
    """Memory that QEMU gave back to the host; the address is QEMU's own."""

    address: int
    size: int


def set_delay(guest: Guest, ms: int) -> None:
    """How long the guest's kernel waits between two passes; two seconds unless it is set."""
    guest.agent.write(f"{_PARAMETERS}/page_reporting_delay_ms", str(ms))


def set_kernel_order(guest: Guest, order: int) -> None:
    """The kernel's own parameter, which the C driver leaves as it is."""
    guest.agent.write(f"{_PARAMETERS}/page_reporting_order", str(order))


def blocks(guest: Guest) -> list[Block]:
    """What was discarded so far, pages of the balloon included."""
    text = guest.trace_log.read_text(errors="replace") if guest.trace_log.exists() else ""
    return [Block(int(match[1], 16), int(match[2], 16)) for match in _DISCARD.finditer(text)]


def reports(guest: Guest, queue: int = QUEUE) -> int:
    """How often a driver told the host about the reporting queue."""
    return sum(event.kind == "notify" and event.value == queue for event in guest.balloon_events())


def check_reports(guest: Guest, mib: int = 64, queue: int = QUEUE) -> None:
    """Memory that is freed now is reported."""
    before = reports(guest, queue)
    guest.agent.call("fill", 120, name="reported", mib=mib, seed=61, huge=True)
    guest.agent.call("drop", name="reported")
    hinting.wait_until(lambda: reports(guest, queue) > before, "free pages are reported", 60)


def poison_value(guest: Guest) -> int:
    """`poison_val` in the device's configuration, read by QEMU's monitor and not by the guest."""
    tree = _monitor(guest, "info mtree")
    match = _CONFIG.search(tree)
    if not match:
        raise ToolError(f"{guest.name}: the balloon's configuration is not mapped:\n{tree}")
    dump = _monitor(guest, f"xp /1wx {int(match[1], 16) + _POISON_OFFSET:#x}")
    return int(dump.rpartition("0x")[2], 16)


@contextmanager
def watch_writes(guest: Guest) -> Iterator[None]:
    """QEMU logs every write to a register until the end of the block, for poison_writes()."""
    _trace_writes(guest, True)
    try:
        yield
    finally:
        _trace_writes(guest, False)


def poison_writes(log: Path) -> list[tuple[int, bool]]:
    """The values written to `poison_val`, and whether the device had DRIVER_OK then."""
    live = False
    found = []
    for line in log.read_text(errors="replace").splitlines():
        if match := _STATUS.search(line):
            live = bool(int(match[1]) & DRIVER_OK)
        elif (match := _WRITE.search(line)) and match[3] == _CONFIG_REGION:
            # The region starts at a multiple of a page.
            if int(match[1], 16) % PAGE == _POISON_OFFSET:
                found.append((int(match[2], 16), live))
    return found


def _trace_writes(guest: Guest, enable: bool) -> None:
    guest.monitor.command("trace-event-set-state", name="memory_region_ops_write", enable=enable)


def _monitor(guest: Guest, line: str) -> str:
    return str(guest.monitor.command("human-monitor-command", command_line=line))
