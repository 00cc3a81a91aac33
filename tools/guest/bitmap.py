# SPDX-License-Identifier: GPL-2.0
"""Asks a guest for its free page bitmap and reads what came of it. Needs the patched QEMU.

The numbers are those of include/uapi/linux/virtio_balloon_bitmap.h.
"""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import asdict, dataclass
from typing import Any

from tools.guest import console, drivers, patience
from tools.guest.errors import ToolError
from tools.guest.guest import Guest

# The feature's bit.
FEATURE = 23

# Types of a request.
REPORT = 1
CANCEL = 2

# Flags of requests and reports.
ISOLATED = 1

# Caches.
PAGE_CACHE = 1
SLAB = 2
ALL_CACHES = 3

# Status of a report.
DONE = 0
MORE = 1
CANCELLED = 2
ERROR = 3

# Errors of a report.
E_SIZE = 1
E_ID = 2
E_TYPE = 3
E_RESERVED = 4
E_CACHES = 5
E_ORDER = 6
E_WINDOW = 7
E_ISOLATED = 8

# Windows end at or below it.
MAX_PFN = 1 << 52
REQUEST_BYTES = 32

_COUNTERS = "/sys/kernel/debug/virtio_balloon_rs-*/bitmap"
# For `Machine.trace`: without it skipped_bytes() finds nothing.
TRACE = ("virtio_balloon_bitmap_skipped",)
_SKIPPED = re.compile(r"virtio_balloon_bitmap_skipped id: \S+ bytes: (\d+)")
_POLL_S = 0.01
# QEMU's own begin anywhere among 2^32; these are few beside that.
_ids = itertools.count(1 << 24)


def fresh_id() -> int:
    """An id that nobody has used."""
    return next(_ids)


@dataclass(frozen=True)
class Request:
    """What goes into the buffer, field by field, right or wrong."""

    id: int
    type: int = REPORT
    caches: int = 0
    order: int = 9
    flags: int = 0
    start_pfn: int = 0
    end_pfn: int = 0
    reserved: int = 0


@dataclass(frozen=True)
class Answer:
    """A report as it came in, without its bits."""

    id: int
    status: int
    error: int
    order: int
    flags: int
    reserved: int
    caches: int
    caches_result: int
    nr_bits: int
    set_bits: int
    bitmap_bytes: int
    start_pfn: int
    dropped_pages: int

    @property
    def final(self) -> bool:
        return self.status != MORE


def send(guest: Guest, request: Request, length: int = REQUEST_BYTES, count: int = 1) -> None:
    """Puts a request into the queue as it is, cut to `length` bytes; or `count` of them, whose ids
    count up from that of the first.

    QEMU neither looks at it nor waits for what the driver says to it.
    """
    guest.monitor.command(
        "x-balloon-send-free-page-request", length=length, count=count, **asdict(request)
    )


def answers(guest: Guest) -> list[Answer]:
    """All reports since the log was cleared, in order; no more than the latest 8192."""
    return [
        Answer(**{name.replace("-", "_"): value for name, value in entry.items()})
        for entry in guest.monitor.command("x-query-balloon-free-page-log")
    ]


def forget_answers(guest: Guest) -> None:
    guest.monitor.command("x-query-balloon-free-page-log", clear=True)


def wait_for_final(guest: Guest, count: int = 1, deadline: float = 60.0) -> list[Answer]:
    """Returns all reports in the log as soon as `count` of them are the last of their request."""
    end = patience.until(deadline)
    while True:
        found = answers(guest)
        if sum(answer.final for answer in found) >= count:
            return found
        if time.monotonic() > end:
            raise ToolError(
                f"{guest.name}: not {count} final reports within {deadline:.0f} s: {found[-5:]}\n"
                f"{console.tail(guest.console_log)}"
            )
        time.sleep(_POLL_S)


def exchange(guest: Guest, request: Request, length: int = REQUEST_BYTES) -> list[Answer]:
    """Sends one request and returns the reports to it, the last of which is final."""
    forget_answers(guest)
    send(guest, request, length)
    return wait_for_final(guest)


def ask(guest: Guest, **arguments: object) -> int:
    """Has QEMU ask for a report (`order`, `caches`, `start_pfn`, `end_pfn`); returns its id."""
    answer = guest.monitor.command("x-balloon-free-page-report", **arguments)
    number = answer["id"]
    assert isinstance(number, int)
    return number


def query(guest: Guest) -> dict[str, Any]:
    """QEMU's account of all requests and of the last one."""
    answer = guest.monitor.command("x-query-balloon-free-page-report")
    assert isinstance(answer, dict)
    return answer


def ask_to_discard(guest: Guest, **arguments: object) -> int:
    """Has QEMU discard what is free (`order`, `caches`); returns the request's id."""
    answer = guest.monitor.command("x-balloon-discard-free-pages", **arguments)
    number = answer["id"]
    assert isinstance(number, int)
    return number


def report(guest: Guest, deadline: float = 60.0, **arguments: object) -> dict[str, Any]:
    """Has QEMU ask for a report and returns its account of it, which must be `done`."""
    return _done(guest, ask(guest, **arguments), deadline)


def discard(guest: Guest, deadline: float = 60.0, **arguments: object) -> dict[str, Any]:
    """Has QEMU discard what is free and returns its account of it, which must be `done`."""
    return _done(guest, ask_to_discard(guest, **arguments), deadline)


def ended(guest: Guest, number: int, deadline: float = 60.0) -> dict[str, Any]:
    """QEMU's account of its request, the latest one, as soon as that is no longer in progress."""
    end = patience.until(deadline)
    while True:
        last = query(guest).get("last", {})
        if last.get("id") == number and last["status"] != "in-progress":
            return dict(last)
        if time.monotonic() > end:
            raise ToolError(
                f"{guest.name}: no report {number} within {deadline:.0f} s: {last}\n"
                f"{console.tail(guest.console_log)}"
            )
        time.sleep(_POLL_S)


def _done(guest: Guest, number: int, deadline: float) -> dict[str, Any]:
    last = ended(guest, number, deadline)
    if last["status"] != "done":
        raise ToolError(f"{guest.name}: report {number} is not done: {last}")
    return last


def skipped_bytes(guest: Guest) -> int:
    """What migrations did not send because of reports; needs TRACE in `Machine.trace`."""
    text = guest.trace_log.read_text(errors="replace") if guest.trace_log.exists() else ""
    return sum(int(match[1]) for match in _SKIPPED.finditer(text))


def memory_end(guest: Guest) -> int:
    """The page frame after the guest's last one."""
    zones = guest.agent.read("/proc/zoneinfo").split("Node ")
    return max(_number(zone, "start_pfn:") + _number(zone, "spanned ") for zone in zones[1:])


def _number(zone: str, name: str) -> int:
    _, found, rest = zone.partition(name)
    # A zone without pages has no first one.
    return int(rest.split()[0]) if found else 0


def counters(guest: Guest) -> dict[str, int | str]:
    """What the Rust driver counted for the bitmap."""
    return drivers.counters(guest, _COUNTERS)


def counter(guest: Guest, name: str) -> int:
    return drivers.counter(guest, name, _COUNTERS)


def wait_until_taken(guest: Guest, before: int) -> None:
    """Returns as soon as the driver counts more than `before` requests.

    It is the guest that looks: a look from outside would take longer than many a request.
    """
    guest.agent.run(
        f"set -- {_COUNTERS}; n=0; until [ $n -gt {before} ]; do"
        " while read name n; do [ $name != requests: ] || break; done < $1 || exit; done"
    )


def accepted(guest: Guest) -> bool:
    """Whether the driver took the feature."""
    return FEATURE in drivers.features(guest)
