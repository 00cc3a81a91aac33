# SPDX-License-Identifier: GPL-2.0
"""Live migration with pages in the balloon, while it grows, and while it shrinks. Check kernel."""

import random
from dataclasses import replace

import pytest

from tools.guest import balloon, contents, hinting, migration, stats

MEMORY_MIB = 1024
LEAST_MIB = 240
# Bytes per second. With the churn and next to no downtime allowed, a migration that is this slow
# does not end before it is let go, however long the balloon takes.
SLOW = 1 << 20


def _inflated(guest):
    """The balloon rests."""
    balloon.inflate_to(guest, LEAST_MIB)
    return LEAST_MIB


def _inflating(guest):
    """The balloon grows during the migration, and has not arrived when the guest moves."""
    balloon.stop_midway(guest, LEAST_MIB)
    return LEAST_MIB


def _deflating(guest):
    balloon.inflate_to(guest, LEAST_MIB)
    balloon.stop_midway(guest, MEMORY_MIB)
    return MEMORY_MIB


def _changing(guest):
    """The target changes until the guest runs elsewhere; nothing is stopped for it.

    Whether the last one still went along is not known.
    """
    numbers = random.Random(61)
    migration.set_limits(guest)
    while migration.status(guest)["status"] not in ("completed", "failed"):
        balloon.set_remaining(guest, numbers.randint(LEAST_MIB, MEMORY_MIB))
    return None


def _move(source, destination, act):
    """Migrates, with `act` done while that is on its way; returns the target that went along."""
    migration.set_limits(source, bandwidth=SLOW, downtime_ms=1)
    migration.start(source, migration.listen(destination))
    migration.wait(source, 30, {"active"})
    target = act(source)
    migration.set_limits(source)
    assert migration.wait(source, 180)["status"] == "completed"
    hinting.wait_until(
        lambda: destination.monitor.command("query-status")["status"] in ("running", "paused"),
        "the destination has everything",
    )
    # A guest that was stopped arrives stopped.
    destination.cont()
    source.stop()
    return target


@pytest.mark.parametrize(
    "act", [_inflated, _inflating, _deflating, _changing], ids=lambda act: act.__name__.strip("_")
)
def test_migrate(guests, machine, driver, act):
    machine = replace(machine, memory_mib=MEMORY_MIB)
    guest = guests.start(machine, "guest0")
    driver.load(guest)
    contents.keep(guest)
    free = hinting.free_kib(guest)
    contents.churn(guest)

    for hop in (1, 2):
        following = guests.start(machine, f"guest{hop}", incoming=True)
        target = _move(guest, following, act)
        guest = following
        guest.agent.ping()
        if target is not None:
            balloon.wait_for_actual(guest, target)
        # Others are followed, too.
        balloon.inflate_to(guest, LEAST_MIB + 100)
        balloon.deflate_all(guest)

    assert stats.fresh(guest).values["total-memory"] > 0
    contents.check_churn(guest)
    hinting.wait_for_free(guest, free)
    contents.check_kept(guest)
