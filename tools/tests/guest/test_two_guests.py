# SPDX-License-Identifier: GPL-2.0
"""Two guests at once: both inflate and deflate, and both migrate. Check kernel."""

import random
import time
from dataclasses import replace

from tools.guest import balloon, contents, hinting, migration

MEMORY_MIB = 512
LEAST_MIB = 160


def _unsettle(pair, seconds, numbers):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for guest in pair:
            balloon.set_remaining(guest, numbers.randint(LEAST_MIB, MEMORY_MIB))
        time.sleep(0.05)


def test_two_guests(guests, machine, driver):
    machine = replace(machine, memory_mib=MEMORY_MIB)
    numbers = random.Random(71)
    pair = [guests.start(machine, f"{name}0") for name in ("left", "right")]
    free = []
    for guest in pair:
        driver.load(guest)
        contents.keep(guest)
        free.append(hinting.free_kib(guest))
        contents.churn(guest)

    _unsettle(pair, 10, numbers)
    following = [guests.start(machine, f"{name}1", incoming=True) for name in ("left", "right")]
    for source, destination in zip(pair, following, strict=True):
        migration.set_limits(source)
        migration.start(source, migration.listen(destination))
    for source in pair:
        while migration.status(source)["status"] not in ("completed", "failed"):
            balloon.set_remaining(source, numbers.randint(LEAST_MIB, MEMORY_MIB))
        assert migration.status(source)["status"] == "completed"
    for source, destination in zip(pair, following, strict=True):
        migration.wait_until_running(destination)
        source.stop()

    _unsettle(following, 10, numbers)
    for guest in following:
        balloon.set_remaining(guest, LEAST_MIB)
    for guest in following:
        balloon.wait_for_actual(guest, LEAST_MIB)
    for guest in following:
        balloon.deflate(guest)
    for guest, before in zip(following, free, strict=True):
        balloon.wait_for_actual(guest, MEMORY_MIB)
        contents.check_churn(guest)
        hinting.wait_for_free(guest, before)
        contents.check_kept(guest)
