# SPDX-License-Identifier: GPL-2.0
"""The kernel's fault injection, restricted to what a balloon driver asks for.

The restriction is the stack: only what is called from a range of addresses fails. So allocations
of other tasks and of the test itself never do, whoever runs the driver's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tools.guest.drivers import Driver
from tools.guest.guest import Guest

_DEBUG = "/sys/kernel/debug"
SLAB = "failslab"
PAGES = "fail_page_alloc"
# In the KUnit build of our module: finding queues, adding buffers, notifying the device.
QUEUES = "fail_virtqueue"
# Longer than the deepest call.
_DEPTH = 32
# More requests than any driver makes.
_MANY = 400


@dataclass
class Fault:
    happened: bool = False


def restrict_to(guest: Guest, driver: Driver) -> None:
    """Only what the loaded module of `driver` asks for may fail."""
    name = driver.module.removesuffix(".ko")
    start = int(guest.agent.read(f"/sys/module/{name}/sections/.text"), 16)
    size = int(guest.agent.run(f"grep '^{name} ' /proc/modules").split()[1])
    _restrict(guest, start, start + size)


def restrict_to_loading(guest: Guest) -> None:
    """Only what the start of a module asks for may fail, before it has an address of its own."""
    # The list is sorted by address.
    lines = guest.agent.run("grep -A1 ' do_init_module$' /proc/kallsyms").splitlines()
    start, end = (int(line.split()[0], 16) for line in lines)
    _restrict(guest, start, end)


def _address(guest: Guest, symbol: str) -> int:
    return int(guest.agent.run(f"grep ' {symbol}$' /proc/kallsyms").split()[0], 16)


def _restrict(guest: Guest, start: int, end: int) -> None:
    # The kernel does not look whether it could make the files of an interrupt in /proc, and warns
    # when they are not there to be removed: that is no driver's.
    not_from = _address(guest, "register_handler_proc")
    not_to = _address(guest, "unregister_irq_proc")
    # All kinds: what is armed for one task counts requests of every kind.
    guest.agent.run(
        f"for dir in {_DEBUG}/fail*; do"
        f" echo {start:#x} > $dir/require-start; echo {end:#x} > $dir/require-end;"
        f" echo {not_from:#x} > $dir/reject-start; echo {not_to:#x} > $dir/reject-end;"
        f" echo {_DEPTH} > $dir/stacktrace-depth; echo 0 > $dir/verbose; done;"
        f" echo N > {_DEBUG}/{SLAB}/ignore-gfp-wait;"
        f" echo N > {_DEBUG}/{PAGES}/ignore-gfp-wait;"
        f" echo N > {_DEBUG}/{PAGES}/ignore-gfp-highmem;"
        f" echo 0 > {_DEBUG}/{PAGES}/min-order"
    )


def each(attempt: Callable[[int], bool]) -> int:
    """Calls `attempt` with 1, 2, 3... until no fault happens; returns how many did."""
    for nth in range(1, _MANY):
        if not attempt(nth):
            return nth - 1
    raise AssertionError(f"there is no end to faults after {_MANY}")


def in_task(guest: Guest, nth: int, command: str) -> tuple[Fault, int]:
    """Runs a command in a shell whose `nth` request for memory fails, and gives its exit code.

    Requests that it leaves to other tasks do not count; a program has to be run with `exec`.
    """
    for kind in (SLAB, PAGES):
        guest.agent.write(f"{_DEBUG}/{kind}/times", "1")
    code, _ = guest.agent.try_run(f"echo {nth} > /proc/self/fail-nth; {command}")
    left = sum(int(guest.agent.read(f"{_DEBUG}/{kind}/times")) for kind in (SLAB, PAGES))
    return Fault(left < 2), code


@contextmanager
def armed(guest: Guest, kind: str, nth: int, order: int = 0) -> Iterator[Fault]:
    """One request fails until the end of the block, whichever task makes it.

    For pages and queues it is the `nth`, if all pages are asked for in blocks of `order`. For
    SLAB it is one of the first `nth`: the kernel goes on counting from the last one that failed.
    """
    interval = nth if kind == SLAB else 1
    space = 0 if kind == SLAB else ((nth - 1) << order) + 1
    directory = f"{_DEBUG}/{kind}"
    guest.agent.run(
        f"cd {directory} && echo 0 > verbose && echo {interval} > interval &&"
        f" echo {space} > space &&"
        " echo 1 > times && echo 100 > probability"
    )
    fault = Fault()
    try:
        yield fault
    finally:
        guest.agent.run(f"echo 0 > {directory}/probability")
        fault.happened = int(guest.agent.read(f"{directory}/times")) == 0
