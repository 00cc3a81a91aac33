# SPDX-License-Identifier: GPL-2.0
"""The balloon by extents, with whole blocks in it. Check kernel, patched QEMU."""

from dataclasses import replace

import pytest

from tools.guest import (
    balloon,
    contents,
    drivers,
    hinting,
    migration,
    resident,
    situations,
    vmstat,
)
from tools.guest.drivers import Driver
from tools.guest.machine import Balloon

EXTENTS = Driver("rust-extents", drivers.RUST_MODULE, "extents=1")
EXTENTS_BIT = 22
BLOCK_PAGES = 512
MEMORY_MIB = 1024
REMAINING_MIB = 300


def _device(**more):
    return Balloon(more={"extents": True}, **more)


@pytest.fixture
def extents(machine):
    """A machine whose balloon has them."""
    return replace(machine, patched=True, memory_mib=MEMORY_MIB, balloon=_device())


def _block_pages(guest):
    return balloon.counter(guest, "block_pages")


def test_there_and_back(guests, extents):
    guest = guests.start(extents)
    EXTENTS.load(guest)
    assert EXTENTS_BIT in drivers.features(guest)
    contents.keep(guest)
    total = guest.agent.meminfo()["MemTotal"]
    free = hinting.free_kib(guest)
    before = balloon.counter(guest, "requests")

    for remaining in (REMAINING_MIB, REMAINING_MIB + 201, 400, MEMORY_MIB - 1, MEMORY_MIB):
        balloon.inflate_to(guest, remaining)
        pages = balloon.inflated_pages(guest)
        assert guest.agent.meminfo()["MemTotal"] == total - pages * 4
        # What is free in a guest that has just booted is in large blocks.
        assert pages // 2 <= _block_pages(guest) <= pages or pages < BLOCK_PAGES
        assert _block_pages(guest) % BLOCK_PAGES == 0
    # 724 MiB up, 201 down, 101 up, 623 and 1 down: numbers would take more than 1600 buffers.
    assert balloon.counter(guest, "requests") - before < 200

    assert guest.agent.meminfo()["MemTotal"] == total
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)


def test_host_gets_the_memory(guests, extents):
    """What the guest has used is the host's again, and comes back as it should."""
    guest = guests.start(extents)
    EXTENTS.load(guest)
    contents.keep(guest)
    guest.agent.call("fill", 120, name="large", mib=700, seed=71, huge=True)
    guest.agent.call("drop", name="large")
    used = resident.read(guest.pid).kib
    balloon.inflate_to(guest, REMAINING_MIB)
    back = used - resident.read(guest.pid).kib
    print(f"{used} KiB, of which {back} came back")
    assert back > 600 * 1024
    balloon.deflate_all(guest)
    guest.agent.call("fill", 120, name="large", mib=700, seed=72)
    verdict = guest.agent.call("verify", 120, name="large")
    assert verdict["pages"] == 700 * 256 and verdict["wrong"] == 0
    contents.check_kept(guest)


def test_fragmented(guests, extents):
    """There are no blocks left: single pages go instead."""
    guest = guests.start(extents)
    EXTENTS.load(guest)
    mib = guest.agent.mem_free_kib() // 1024 - 100
    guest.agent.call("fill", 120, name="scattered", mib=mib, seed=73)
    guest.agent.call("thin", name="scattered", block=balloon.PAGE)
    free = hinting.free_kib(guest)
    remaining = MEMORY_MIB - mib // 3
    balloon.inflate_to(guest, remaining)
    blocks, pages = _block_pages(guest), balloon.inflated_pages(guest)
    print(f"{pages} pages, {blocks} of them in blocks")
    assert blocks < pages // 2
    balloon.deflate_all(guest)
    hinting.wait_for_free(guest, free)
    verdict = guest.agent.call("verify", 120, name="scattered")
    assert verdict["pages"] > 0 and verdict["wrong"] == 0


def test_deflates_before_a_kill(guests, extents):
    guest = guests.start(replace(extents, balloon=_device(deflate_on_oom=True)))
    guest.agent.write("/proc/sys/vm/overcommit_memory", "1")
    EXTENTS.load(guest)
    balloon.inflate_to(guest, REMAINING_MIB)
    hog_mib = REMAINING_MIB + 150
    assert guest.agent.call("hog-start", 180, mib=hog_mib, seed=74)["signal"] == 0
    verdict = guest.agent.call("hog-stop", 120)
    assert verdict["pages"] == hog_mib * 256 and verdict["wrong"] == 0
    assert balloon.counter(guest, "oom_deflated") > 0
    assert vmstat.event(guest, "oom_kill") == 0
    balloon.deflate_all(guest)


def test_migrate(guests, extents):
    """Blocks are in the balloon here, and come out of it there."""
    source = guests.start(extents, "source")
    EXTENTS.load(source)
    contents.keep(source)
    free = hinting.free_kib(source)
    balloon.inflate_to(source, REMAINING_MIB)
    contents.churn(source)
    destination = guests.start(extents, "destination", incoming=True)
    migration.migrate(source, destination)
    destination.agent.ping()
    assert _block_pages(destination) > 0
    contents.check_churn(destination)
    balloon.inflate_to(destination, REMAINING_MIB - 50)
    balloon.deflate_all(destination)
    hinting.wait_for_free(destination, free)
    contents.check_kept(destination)


@pytest.mark.parametrize(
    "name, parameters", [("rust", ""), ("c", None)], ids=["not allowed", "C driver"]
)
def test_without(guests, extents, name, parameters):
    """A device that has them, and a driver that does not take them: numbers, as ever."""
    driver = drivers.C if parameters is None else Driver(name, drivers.RUST_MODULE, parameters)
    guest = guests.start(extents)
    driver.load(guest)
    assert EXTENTS_BIT not in drivers.features(guest)
    contents.keep(guest)
    balloon.inflate_to(guest, REMAINING_MIB)
    balloon.deflate_all(guest)
    contents.check_kept(guest)


def test_unload_and_rebind(guests, extents):
    """The blocks come back whoever takes the balloon next."""
    guest = guests.start(extents)
    contents.keep(guest)
    situations.check_unload_inflated(guest, EXTENTS, REMAINING_MIB, times=2)
    contents.check_kept(guest)
