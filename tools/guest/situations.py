# SPDX-License-Identifier: GPL-2.0
"""What a balloon may be doing when something happens to it, and whether it still works after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tools.guest import balloon, hinting, migration, stats
from tools.guest.drivers import Driver
from tools.guest.guest import Guest

NAMES = ("idle", "inflated", "inflating", "hinting")
# What a guest of 1 GiB keeps when it is inflated; the kasan kernel needs much of it.
REMAINING_MIB = 600
# So many pages are in the balloon when it counts as being on its way.
_SOME_PAGES = 4096


def enter(guest: Guest, name: str) -> int:
    """Brings the balloon there; returns what remains to the guest when it has settled, in MiB."""
    if name == "inflated":
        balloon.inflate_to(guest, REMAINING_MIB)
        return REMAINING_MIB
    if name == "inflating":
        balloon.set_remaining(guest, REMAINING_MIB)
        balloon.wait_for_pages(guest, _SOME_PAGES)
        return REMAINING_MIB
    if name == "hinting":
        hinting.start(guest)
    else:
        assert name == "idle", name
    return guest.machine.memory_mib


@contextmanager
def situation(guest: Guest, name: str) -> Iterator[int]:
    """The same until the end of the block; after it the host wants no more hints."""
    remaining = enter(guest, name)
    try:
        yield remaining
    finally:
        if name == "hinting":
            migration.cancel(guest)


def load(guest: Guest, driver: Driver) -> tuple[int, int]:
    """Loads `driver`; returns free memory and MemTotal in KiB when it is loaded and not bound.

    Not before it is loaded: the kernel takes 2 MiB for the code of modules when the first comes.
    """
    driver.load(guest)
    unbind(guest, driver)
    before = hinting.free_kib(guest), guest.agent.meminfo()["MemTotal"]
    bind(guest, driver)
    return before


def unbind(guest: Guest, driver: Driver) -> None:
    guest.agent.write(f"{driver.sysfs}/unbind", _device(guest))


def bind(guest: Guest, driver: Driver) -> None:
    guest.agent.write(f"{driver.sysfs}/bind", _device(guest))


def _device(guest: Guest) -> str:
    # Not virtio0 if there is a disk.
    (device,) = guest.balloons()
    return device


def check_memory(guest: Guest, before: tuple[int, int]) -> None:
    """The guest has all the memory that it had then."""
    free, total = before
    hinting.wait_until(
        lambda: guest.agent.meminfo()["MemTotal"] == total, f"MemTotal is {total} KiB again"
    )
    hinting.wait_for_free(guest, free)


def check_unload_inflated(guest: Guest, driver: Driver, remaining_mib: int, times: int) -> None:
    """A driver that goes away has taken its pages out of the balloon, each time."""
    total, free = guest.agent.meminfo()["MemTotal"], hinting.free_kib(guest)
    for _ in range(times):
        driver.load(guest)
        balloon.inflate_to(guest, remaining_mib)
        driver.unload(guest)
        assert balloon.inflated_pages(guest) == 0
        assert guest.agent.meminfo()["MemTotal"] == total
        hinting.wait_for_free(guest, free)


def check_works(guest: Guest) -> None:
    """The balloon goes both ways, statistics and hints come. It is empty afterwards."""
    balloon.inflate_to(guest, REMAINING_MIB)
    total = stats.fresh(guest).values["total-memory"]
    assert total == guest.agent.meminfo()["MemTotal"] << 10
    balloon.deflate_all(guest)
    assert hinting.one_round(guest).segments > 0
